"""Short runs of the harnesses in this folder."""

from pathlib import Path

import pytest

from tests.faults import fuzz, kill

pytestmark = pytest.mark.slow


def test_killed_trainings_resume_to_identical_states(tmp_path: Path) -> None:
  found = kill.run(2, 0, tmp_path)
  assert [same for _, same in found] == [True, True], found


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
  found = fuzz.run(150, 1, tmp_path)
  wrong = {kind: set(counts) - {'read', 'refused'} for kind, counts in found.items()}
  assert not any(wrong.values()), wrong
