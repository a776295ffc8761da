import pytest

from ml.data.column_types.items import ItemsType
from ml.data.issues import DataRejected


@pytest.mark.parametrize("cell", [["a", "b"], ("a", "b"), '["a", "b"]', "a b", "a|b"])
def test_a_history_may_be_a_list_or_a_text(cell):
    assert ItemsType.from_cell(cell) == ["a", "b"]


@pytest.mark.parametrize("cell", [7, None, {"a": 1}, '["a"'])
def test_what_is_no_list_is_told(cell):
    with pytest.raises(DataRejected) as refused:
        ItemsType.from_cell(cell)
    assert refused.value.code == "history_not_a_list"
