"""A person's steps over the pages, for the browser tests: each goes to its page, does it, and sees that it was done."""

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from examples.clusters import sample_clusters
from tests.e2e.browser import shoot
from tests.e2e.page_runs import ROOT, Running

HOSTILE = '<img src="/nowhere" onerror="document.title=1"> {{7*7}} ${7*7}'


def metadata(running: Running, task: str, folder: Path) -> Path:
    """The metadata that the pipeline wrote, with a description that must stay text."""
    told = json.loads((running.models / f"spot-{task}.metadata.json").read_text())
    path = folder / f"{task}.json"
    path.write_text(json.dumps({**told, "description": HOSTILE}))
    return path


def go(page: Page, name: str) -> None:
    """To a page, by its link."""
    link = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
    link.click()
    expect(link).to_have_attribute("aria-current", "page")


def sign_in(page: Page, running: Running) -> None:
    page.goto(running.link)
    expect(page.locator("#co-who")).to_contain_text("(admin)")
    assert "code=" not in page.url, "the code stays in no history"
    expect(page.get_by_text("SIMULATED MARKET", exact=True)).to_be_visible()
    go(page, "Models")
    expect(page.locator("#co-models-empty")).to_be_visible()


def upload_and_activate(page: Page, running: Running, task: str, described: Path) -> None:
    model_id = f"sample-{task}:v1"
    go(page, "Models")
    page.set_input_files("#co-file", running.models / f"spot-{task}.pkl")
    page.set_input_files("#co-metadata", described)
    page.get_by_label("Name", exact=True).fill(f"sample-{task}")
    page.get_by_label("Version", exact=True).fill("v1")
    page.get_by_label("Trained until").fill(str(running.trained_until))
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.locator("#co-upload-state")).to_have_text(f"{model_id} is registered.")
    row = page.locator(f'[data-model="{model_id}"]')
    expect(row).to_contain_text(HOSTILE)
    row.get_by_role("button", name=f"Activate {model_id}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"none → {model_id}")
    dialog.get_by_role("button", name="Activate").click()
    expect(row.get_by_text("active", exact=True)).to_be_visible()
    expect(page.locator(f"#co-model-spot_{task}")).to_have_text(f"{model_id} · generation 1")


def swap_look_and_roll_back(page: Page, running: Running, described: Path) -> None:
    """A second version takes over, is looked at, is rolled back, and is deleted by its name."""
    page.set_input_files("#co-file", running.models / "spot-price.pkl")
    page.set_input_files("#co-metadata", described)
    page.get_by_label("Name", exact=True).fill("sample-price")
    page.get_by_label("Version", exact=True).fill("v2")
    page.get_by_label("Trained until").fill(str(running.trained_until))
    page.get_by_role("button", name="Upload", exact=True).click()
    row = page.locator('[data-model="sample-price:v2"]')
    row.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("dialog")).to_contain_text("sample-price:v1 → sample-price:v2")
    page.get_by_role("dialog").get_by_role("button", name="Activate").click()
    expect(row.get_by_text("active", exact=True)).to_be_visible()
    row.get_by_role("button", name="sample-price:v2", exact=True).click()
    expect(page.locator("#co-model-facts")).to_contain_text(str(running.trained_until))
    expect(page.locator("#co-model-turns")).to_contain_text("Generation 2")
    shoot(page, "2-models")
    page.get_by_role("button", name="Roll back to sample-price:v1").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#co-model-spot_price")).to_have_text("sample-price:v1 · generation 3")
    page.get_by_label("Filter").fill("v2")
    expect(page.locator("#co-models tbody tr")).to_have_count(1)
    row.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type sample-price:v2").fill("sample-price:v2")
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.get_by_label("Filter").fill("")


def fill(page: Page, running: Running) -> None:
    """Each activation has begun a fill by itself; a third one is ordered by hand."""
    go(page, "Gap filler")
    title, status = page.locator("#co-fill-title"), page.locator("#co-fill-progress")
    expect(title).to_have_text("gap-fill-2: completed")
    page.get_by_role("button", name="Analyze gap").click()
    expect(page.locator(".co-timeline")).to_contain_text("28 days")
    today = datetime.now(UTC).date()
    expect(page.locator("#co-fill-span")).to_have_text(
        f"Fill missing data from {running.trained_until} to today, {today}:"
    )
    expect(page.locator("#co-fill-estimate")).to_contain_text("records")
    page.get_by_label("Search instance types").fill("m5.l")
    expect(page.locator("#co-types li").first).to_have_text("m5.large")
    page.locator("#co-types").get_by_label("m5.large").uncheck()
    page.get_by_role("button", name="Fill gap").click()
    expect(title).to_have_text("gap-fill-3: completed")
    expect(status).to_have_attribute("data-status", "completed")
    expect(page.locator("#co-fill-percent")).to_have_text("100 %")
    expect(page.locator("#co-fill-regions")).to_contain_text("us-east-1")
    expect(page.locator('[data-fill="gap-fill-3"]')).to_contain_text("1 type in us-east-1")
    shoot(page, "2-filled")
    page.reload()
    expect(title).to_have_text("gap-fill-3: completed")
    assert page.locator("#co-fill-bar").get_attribute("aria-valuenow") == "100"


def see_live_points(page: Page, running: Running) -> None:
    """A price that changes at the market is drawn, and a zoom outlives it."""
    go(page, "Live")
    chart = page.locator("#co-chart")
    line = page.locator("#co-chart .scatterlayer path.js-line").first
    page.wait_for_function("document.querySelector('#co-chart').data?.[1].x.length > 100")  # hours of the filled gap
    page.evaluate("window.Plotly.relayout('co-chart', {'yaxis.range': [0, 1]})")
    before, drawn = int(chart.get_attribute("data-live") or 0), line.get_attribute("d")
    place = {"region": "us-east-1", "zone": page.locator("#co-zone").input_value(), "instance_type": "c5.large"}
    httpx.post(f"{running.market}/_market/price", json={**place, "price_usd": 0.0777}).raise_for_status()
    expect(page.locator("#co-now-price")).to_contain_text("$0.0777")
    assert int(chart.get_attribute("data-live") or 0) > before
    page.wait_for_function("document.querySelector('#co-chart').data[0].y.at(-1) === 0.0777")
    expect(line).not_to_have_attribute("d", str(drawn))
    assert page.evaluate("document.querySelector('#co-chart').layout.yaxis.range") == [0, 1]
    expect(page.locator("#co-feed")).to_have_text("live")


def see_a_decision(page: Page, running: Running) -> None:
    body = sample_clusters(datetime.now(UTC))["shop-frontend"]
    body.pop("cluster_id")
    put = page.request.put(f"{running.address}/api/v1/ml/clusters/shop-frontend", data=body)
    assert put.status == 201, put.text()
    first = page.locator("#co-decisions > li").first
    expect(first).to_contain_text("shop-frontend")
    first.locator("summary").click()
    expect(first.locator(".co-acts")).to_contain_text("move to spot web-1")


def upload_and_try_an_engine(page: Page, folder: Path) -> None:
    """A bad file is refused line by line; a good one is tried beside the active engine, and selected by nobody."""
    go(page, "Engines")
    wrong = folder / "wrong.py"
    wrong.write_text("import socket\n\nCONTRACT = 1\n")
    page.get_by_label("Engine name").fill("rules")
    page.get_by_label("Engine version").fill("v1")
    page.set_input_files("#co-engine-file", wrong)
    page.get_by_role("button", name="Upload engine").click()
    expect(page.locator("#co-engine-problem")).to_contain_text("line 1: ")
    page.set_input_files("#co-engine-file", ROOT / "examples" / "engines" / "rules_engine.py")
    page.get_by_role("button", name="Upload engine").click()
    expect(page.locator("#co-engine-state")).to_have_text("rules:v1 is catalogued.")
    page.locator("#co-engine-choice").select_option("rules:v1")
    page.get_by_role("button", name="Test", exact=True).click()
    result = page.locator("#co-trial-result")
    expect(result).to_contain_text("Tested: rules:v1 usable")
    expect(result).to_contain_text("Active: on_demand_only usable")
    expect(page.locator("#co-engine")).to_have_text("on_demand_only")
    shoot(page, "5-engines")


def apply_an_engine(page: Page) -> None:
    """Another engine decides once it is applied, with the config that its schema asked for."""
    go(page, "Engines")
    expect(page.locator("#co-engine")).to_have_text("spot_optimizer_v1")
    page.locator("#co-engine-choice").select_option("on_demand_only")
    expect(page.locator("#co-engine-description")).not_to_be_empty()
    expect(page.locator("#co-input-schema")).to_contain_text("clusters")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#co-apply-state")).to_have_text("on_demand_only decides from now on.")
    expect(page.locator('[data-engine="on_demand_only"]')).to_contain_text("active")
    expect(page.locator("#co-engine")).to_have_text("on_demand_only")


def see_a_refusal(page: Page, running: Running, folder: Path) -> None:
    go(page, "Models")
    wrong = folder / "wrong.pkl"
    wrong.write_text("no model at all")
    page.set_input_files("#co-file", wrong)
    page.get_by_label("Name", exact=True).fill("wrong")
    page.get_by_label("Version", exact=True).fill("v1")
    page.get_by_label("Trained until").fill(str(running.trained_until))
    with page.expect_response("**/models/upload") as refused:
        page.get_by_role("button", name="Upload", exact=True).click()
    problem = refused.value.json()
    shown = page.locator("#co-models-problem")
    expect(shown).to_contain_text(problem["detail"])
    expect(shown).to_contain_text(problem["advice"])
    expect(page.locator('[data-model="wrong:v1"]')).to_have_count(0)
