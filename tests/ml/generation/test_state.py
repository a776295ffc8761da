import numpy as np
import pytest

from ml.generation.state import BLOCK, GenerationState, state_shapes

SHAPES = [[2, 3], [2, 3]]
ONE = np.ones((1, 1), dtype=bool)


def new_parts(rows: int, length: int, *, value: float) -> dict[str, np.ndarray]:
    part = np.full((rows, 2, length, 3), value, dtype=np.float32)
    return {"text_new_state_0": part, "text_new_state_1": -part}


def real_values(state: GenerationState, row: int) -> list[float]:
    arrays = state.inputs()
    part = arrays["text_state_0"][row][:, arrays["text_state_mask"][row]]
    np.testing.assert_array_equal(part, np.broadcast_to(part[:1, :, :1], part.shape))
    np.testing.assert_array_equal(part, -arrays["text_state_1"][row][:, arrays["text_state_mask"][row]])
    return part[0, :, 0].tolist()


def test_positions_are_allocated_in_blocks_and_written_in_place() -> None:
    state = GenerationState("text", SHAPES, rows=1)
    assert state.inputs()["text_state_0"].shape == (1, 2, 0, 3)
    state.update(new_parts(1, 1, value=1), ONE)
    allocated = state.inputs()["text_state_0"]
    for value in range(2, BLOCK + 1):
        state.update(new_parts(1, 1, value=value), ONE)
    assert state.inputs()["text_state_0"] is allocated
    assert allocated.shape[2] == BLOCK
    state.update(new_parts(1, 1, value=BLOCK + 1), ONE)
    assert state.inputs()["text_state_0"].shape[2] == 2 * BLOCK
    assert real_values(state, 0) == [float(value) for value in range(1, BLOCK + 2)]


@pytest.mark.parametrize("rows", [1, 2])
def test_rows_of_several_lengths_continue_behind_their_own_tokens(rows: int) -> None:
    state = GenerationState("text", SHAPES, rows=rows)
    state.update(new_parts(rows, 4, value=1), np.arange(4) < np.array([[2], [4]])[:rows])
    state.update(new_parts(rows, 1, value=2), np.ones((rows, 1), dtype=bool))
    assert [real_values(state, row) for row in range(rows)] == [[1, 1, 2], [1, 1, 1, 1, 2]][:rows]


def test_rows_join_and_leave() -> None:
    state, longer = (GenerationState("text", SHAPES, rows=1) for _ in range(2))
    state.update(new_parts(1, 2, value=1), np.ones((1, 2), dtype=bool))
    longer.update(new_parts(1, BLOCK + 1, value=2), np.ones((1, BLOCK + 1), dtype=bool))
    state.extend(longer)
    state.update(new_parts(2, 1, value=3), np.ones((2, 1), dtype=bool))
    assert [real_values(state, row) for row in (0, 1)] == [[1, 1, 3], [2.0] * (BLOCK + 1) + [3]]
    state.retain(np.array([0]))
    assert real_values(state, 0) == [1, 1, 3]
    assert state.inputs()["text_state_mask"].shape == (1, 3)


def test_a_graph_may_return_the_whole_state_as_those_of_earlier_packages_do() -> None:
    state = GenerationState("text", [[3]], rows=2)
    following = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    mask = np.array([[True, False], [True, True]])
    state.update({"text_next_state": following, "text_next_state_mask": mask}, mask)
    assert state.inputs()["text_state"] is following
    added = np.concatenate([following, following[:, :1]], axis=1)
    added_mask = np.concatenate([mask, np.ones((2, 1), dtype=bool)], axis=1)
    state.update({"text_next_state": added, "text_next_state_mask": added_mask}, mask[:, :1])
    state.retain(np.array([0]))
    np.testing.assert_array_equal(state.inputs()["text_state"], added[:1, [0, 2]])
    assert state.inputs()["text_state_mask"].all()


def test_the_state_of_a_task_names_shapes_and_in_earlier_packages_a_width() -> None:
    assert state_shapes({"state_shapes": [[4, 8], [4, 8]]}) == [[4, 8], [4, 8]]
    assert state_shapes({"state_width": 64}) == [[64]]
    assert state_shapes({"state_width": 0}) == state_shapes({"state_shapes": []}) == []
