//! The page in a real browser, where there is one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{CELLS, CHARTS, report};

/// Widths that the page is shown in: a phone and a desktop.
const WIDTHS: [u32; 2] = [390, 1200];

/// Settings of the browser, and the colour of the first curve that follows from them.
const MODES: [(&str, &str); 2] = [
    ("--blink-settings=preferredColorScheme=1", "rgb(31.102.209)"),
    ("--blink-settings=preferredColorScheme=0", "rgb(108.176.255)"),
];

/// Measures the page in frames of its own and writes what it finds into the document. The page's policy forbids scripts
/// inside of it, so this one stands outside.
const MEASURE: &str = r##"
const found = [];
const frames = [...document.querySelectorAll('iframe')];
const shown = (page, selector) => [...page.querySelectorAll(selector)].filter(e => e.getBoundingClientRect().width > 0);
Promise.all(frames.map(frame => new Promise(done => { frame.onload = done; frame.srcdoc = PAGE; }))).then(() => {
  for (const frame of frames) {
    const page = frame.contentDocument;
    const steps = shown(page, 'svg.by-steps').length, time = shown(page, 'svg.by-time').length;
    const root = page.documentElement, overflow = root.scrollWidth - root.clientWidth;
    page.querySelector('#along-time').click();
    const images = [...page.images];
    const colour = page.querySelector('svg.by-time [stroke="#1F66D1"]');
    found.push([frame.clientWidth, overflow, steps, time,
      shown(page, 'svg.by-steps').length, shown(page, 'svg.by-time').length,
      images.filter(i => i.complete && i.naturalWidth === 64 && i.naturalHeight === 64).length,
      frame.contentWindow.getComputedStyle(colour).stroke.replaceAll(' ', '').replaceAll(',', '.')].join(','));
  }
  document.getElementById('found').textContent = found.join(';');
});
"##;

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// The document after `browser` has loaded `page`, and what it logged.
fn load(browser: &Path, folder: &Path, page: &Path, mode: &str) -> (String, String) {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    // Without a sandbox of its own, because a container or root does not let it have one: the page is ours.
    let flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
    let output = Command::new(browser)
        .args(flags)
        .args(offline)
        .args([&profile, "--enable-logging=stderr", "--v=0", mode, "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .env("HOME", folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_browser_shows_the_page_on_a_phone_and_on_a_desktop() {
    let Some(browser) = browser() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    // `</` would end the script that the page is quoted in.
    let html = serde_json::to_string(&report("</script><script>alert(1)</script>").to_html().unwrap()).unwrap();
    let html = html.replace("</", "<\\/");
    let frames = WIDTHS.map(|w| format!(r#"<iframe style="width:{w}px;height:844px;border:0"></iframe>"#)).concat();
    let page = folder.join("page.html");
    let harness = format!(
        r#"<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><body>{frames}<p id="found"></p><script>const PAGE = {html};{MEASURE}</script>"#
    );
    std::fs::write(&page, harness).unwrap();

    for (mode, colour) in MODES {
        let (document, log) = load(&browser, &folder, &page, mode);
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(errors.is_empty(), "the console says {errors:?}");
        let found = document.split_once(r#"<p id="found">"#).unwrap().1.split_once("</p>").unwrap().0;
        let found: Vec<&str> = found.split(';').collect();
        // Width of the frame, and by how much the page is wider; charts shown over steps and over time, before and
        // after the switch; images that are all there; the colour of the first curve.
        let (charts, images) = (CHARTS, 2 * CELLS);
        let expected = WIDTHS.map(|width| format!("{width},0,{charts},0,0,{charts},{images},{colour}"));
        assert_eq!(found, expected);
    }
}
