"""The card, where names of files would write into it."""

from dataclasses import replace

from model_store.manifest import Evaluation
from tests.training import scored
from tests.training.report.test_html import read
from tests.training.trees import grown, pngs, whole
from training.data.parts import Parts
from training.data.split import split_classes
from training.judging import Outcome
from training.publishing.card import Facts, write_card
from training.publishing.warned import Warned
from training.recipe.files import load_recipe
from training.report.markdown import to_html
from training.run.folder import RunRecord
from training.run.state import Standing

NAME = "bad\n## Warnings\n- fake.png"
SHOWN = r"bad\n## Warnings\n- fake.png"


def facts(root, **changed):
    folder = whole(grown(root / "data", pngs(["a/1.png", "b/1.png"])))
    return replace(
        Facts(
            name="m",
            parameters=1,
            dtype="float16",
            record=RunRecord(command="fit", recipe="glyphs"),
            recipe=load_recipe("glyphs"),
            split=split_classes(folder, validation=0, calibration=0, seed=0),
            parts=Parts(folder, None, None),
            source="data",
            standing=Standing(),
            hardware="a CPU",
            outcome=Outcome(None, None, (), (), ()),
            kept_step=0,
            warned=Warned(),
        ),
        **changed,
    )


def test_a_name_with_line_breaks_begins_no_line(tmp_path):
    figures = Evaluation(protocol="verification", data=NAME, figures={"eer": 0.1})
    calibration = scored.calibration().model_copy(update={"data": NAME, "far": 0.0000198})
    told = facts(
        tmp_path,
        outcome=Outcome(calibration, None, (figures,), (), ()),
        record=RunRecord(command=f"fit --data '{NAME}'", recipe="glyphs"),
        source=NAME,
        warned=Warned(training=(f"a file cannot be used: {NAME}",), calibration=(NAME,)),
    )
    card = write_card(told).decode()
    assert f"\n## Warnings\n\n- a file cannot be used: {SHOWN}\n\n##" in card
    assert card.count("\n## Warnings\n") == 1
    assert f"- Data: {SHOWN}: 2 images" in card
    assert f"- Note: {SHOWN}\n" in card
    assert f"\nOn {SHOWN}.\n" in card
    assert f"false-accept rate of 0.1 on {SHOWN}\n" in card
    assert "- False-accept rate there 0.0000198, of other classes" in card


def test_a_group_of_any_name_has_one_row_of_the_table(tmp_path):
    figures = {"accuracy_by_group": {"a|b": 0.5, "c\n|d": 0.25}}
    found = Evaluation(protocol="one-shot", data="d", figures=figures)
    card = write_card(facts(tmp_path, outcome=Outcome(None, None, (found,), (), ()))).decode()
    assert "\n| accuracy_by_group a\\|b | 0.5000 |  |\n" in card
    page = read(to_html(card)).text
    assert "accuracy_by_group a|b0.5000accuracy_by_group c\\n|d0.2500" in page
