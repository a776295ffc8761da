from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_zip, sample, upload

USERS = 30


def _files():
    orders, lines = ["order_id,user_id,order_number,days"], ["order_id,product_id,reordered"]
    for user in range(USERS):
        for number in (3, 1, 2):
            order = user * 3 + number
            orders.append(f"{order},u{user},{number},7")
            lines += [f"{order},{number * 10 + item},0" for item in range(3)]
    products = ["product_id,product_name", *(f"{item},Thing {item}" for item in range(10, 33))]
    files = {
        "orders.csv": orders,
        "order_products__prior.csv": lines,
        "products.csv": products,
        "aisles.csv": ["aisle_id,aisle", "1,fruit"],
    }
    return {name: "\n".join(rows).encode() for name, rows in files.items()}


def test_lines_of_orders_belong_to_the_customers_in_the_order_of_these(tmp_path):
    for name, files in (("loose", _files()), ("zip", {"shop.zip": make_zip(_files().items())})):
        report = upload(tmp_path / name, files)
        rows = Dataset.open(tmp_path / name / "dataset").rows("test").columns
        assert report.guess is not None
        assert report.guess.task == "content_recommendation"
        assert "orders_joined" in codes(report)
        assert len(rows["user"]) == USERS
        assert [item[0] for item in rows["history"][0]] == list("111222333")


def test_other_tables_of_a_shop_are_no_logs(tmp_path):
    assert sample(upload(tmp_path, _files()), "file_not_a_log")["file"] == "aisles.csv"


def test_lines_of_unknown_orders_are_counted(tmp_path):
    files = _files()
    files["order_products__prior.csv"] += b"\n9999,10,0\n9999,11,0"
    assert count(upload(tmp_path, files), "orders_unknown") == 1
