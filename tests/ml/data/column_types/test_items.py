import pytest

from ml.data.column_types.items import ItemsType
from ml.data.issues import DataRejected


@pytest.mark.parametrize("cell", [["a", "b"], ("a", "b"), '["a", "b"]', "a b", "a|b"])
def test_a_history_may_be_a_list_or_a_text(cell):
    assert ItemsType.from_cell(cell) == ["a", "b"]


@pytest.mark.parametrize("cell", [7, None, {"a": 1}, '["a"'])
def test_a_cell_that_is_no_list_is_rejected(cell):
    with pytest.raises(DataRejected) as caught:
        ItemsType.from_cell(cell)
    assert caught.value.code == "history_not_a_list"
