"""The numbers and names of an answer, as the page shows them in a real browser."""

from selenium.webdriver.common.by import By

from tests.app.browsing import NARROW, USUAL, Page, altered

# Names of models have up to 63 letters.
LENGTHEN = """
    const name = "n".repeat(63);
    fail(name, name, name);
    document.getElementById("model").add(new Option(name, name, true, true));
    for (const id of ["result", "unfamiliar"]) document.getElementById(id).hidden = false;
    for (const id of ["about", "sentence", "unfamiliar"]) {
        document.getElementById(id).textContent = name;
    }
"""


# An answer of the service, but for what is replaced in it.
TOLD = {
    "model": "tiny",
    "version": 1,
    "metric": "sigmoid_similarity",
    "score": 1.0,
    "probability": 0.5,
    "threshold": 0.5,
    "same": True,
    "in_distribution": True,
    "typicality_a": 0.5,
    "typicality_b": 0.25,
}


def test_numbers_have_the_digits_that_tell_them_apart(page: Page):
    for told, sentence, figures in (
        ({"score": 0.8, "threshold": 0.75}, "0.050 above", ("0.800", "0.500 / 0.250", "0.750")),
        ({"score": 0.99968, "threshold": 0.99971}, "0.000030 below", ("0.999680", "0.999710")),
        ({"score": 0.00021, "threshold": 0.00034}, "0.00013 below", ("0.00021", "0.00034")),
        ({"score": 0.99968, "threshold": 0.5}, "0.500 above", ("0.99968", "0.500")),
        ({"score": 0.9999999, "threshold": 0.5}, "0.500 above", ("1.000",)),
        ({"score": 0.25, "threshold": 0.25}, "at", ("0.250",)),
        ({"score": 123.45678, "threshold": 123.4567}, "0.000080 above", ("123.456780",)),
        ({"score": 123.45678, "threshold": 100.0}, "23.457 above", ("123.5", "100.0")),
        ({"score": 120.43, "threshold": 120.41}, "0.020 above", ("120.430", "120.410")),
        ({"score": 250.004, "threshold": 250.046}, "0.042 below", ("250.004", "250.046")),
        ({"score": 99.99, "threshold": 100.03}, "0.040 below", ("99.990", "100.030")),
        ({"typicality_a": 3e-7}, "0.500 above", ("3.0e-7 / 0.250",)),
        ({"typicality_b": 4e-5}, "0.500 above", ("0.500 / 0.000040",)),
    ):
        page.browser.execute_script("show(arguments[0])", {**TOLD, **told})
        assert f"The similarity is {sentence} the threshold" in page.text("sentence")
        assert set(figures) <= set(page.text("figures").split("\n"))


def test_long_names_and_numbers_do_not_widen_the_page(page: Page):
    command = "Emulation.setDeviceMetricsOverride"
    with altered(page.browser, command, NARROW, USUAL):
        page.browser.execute_script(LENGTHEN)
        assert page.browser.execute_script("return document.documentElement.scrollWidth") == 320
        for edges in ((0.99999968, 0.9999997), (0.00000032, 0.0000003)):
            told = {**TOLD, **dict(zip(("score", "threshold"), edges, strict=True))}
            page.browser.execute_script("show(arguments[0])", told)
            width = "return document.documentElement.scrollWidth"
            assert page.browser.execute_script(width) == 320
            track, note = (
                page.browser.find_element(By.CLASS_NAME, name).rect for name in ("track", "note")
            )
            assert track["x"] - 1 <= note["x"]
            assert note["x"] + note["width"] <= track["x"] + track["width"] + 1
