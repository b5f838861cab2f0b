"""The card, where names of files would write into it."""

from tests.training.trees import grown, pngs, whole
from training.data.parts import Parts
from training.data.split import split_classes
from training.judging import Outcome
from training.publishing.card import Facts, write_card
from training.publishing.warned import Warned
from training.recipe.files import load_recipe
from training.run.folder import RunRecord
from training.run.state import Standing

NAME = "bad\n## Warnings\n- fake.png"
SHOWN = r"bad\n## Warnings\n- fake.png"


def test_a_name_with_line_breaks_begins_no_line(tmp_path):
    folder = whole(grown(tmp_path / "data", pngs(["a/1.png", "b/1.png"])))
    facts = Facts(
        name="m",
        parameters=1,
        dtype="float16",
        record=RunRecord(command=f"fit --data '{NAME}'", recipe="glyphs"),
        recipe=load_recipe("glyphs"),
        split=split_classes(folder, validation=0, calibration=0, seed=0),
        parts=Parts(folder, None, None),
        source=NAME,
        standing=Standing(),
        hardware="a CPU",
        outcome=Outcome(None, None, (), (), ()),
        kept_step=0,
        warned=Warned(training=(f"a file cannot be used: {NAME}",), calibration=(NAME,)),
    )
    card = write_card(facts).decode()
    assert f"\n## Warnings\n\n- a file cannot be used: {SHOWN}\n\n##" in card
    assert card.count("\n## Warnings\n") == 1
    assert f"- Data: {SHOWN}: 2 images" in card
    assert f"- Note: {SHOWN}\n" in card
