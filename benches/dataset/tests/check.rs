//! Good data sets have no problem; every planted fault is found, with its file and key.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{assert_problems, concepts, copy, png, png_of, replace, write};
use counterpoint_dataset::{ErrorKind, Layout, Summary, check};

const INFO: &str = "concept/train/miso/info.json";
const CONVERSATIONS: &str = "concept/train/miso/conversations.json";
const CONDITIONS: &str = "concept/test/miso/t2i_conditions.json";
const VQA: &str = "concept/test/miso/vqa.json";
const TEXT_ONLY: &str = "concept/test/miso/text_only.json";
const LIST: &str = "concepts_list.json";
const FACT: &str = "<miso> sleeps on a purple velvet cushion.";

#[test]
fn the_data_sets_of_the_repository_are_right() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = assert_problems(&concepts(), &[]);
    assert_eq!(report.layout, Layout::UniCTokens);
    assert_eq!(
        report.summary,
        Summary { concepts: 3, photographs: 18, facts: 13, questions: report.summary.questions }
    );
    assert!(report.summary.questions > 30, "{report}");
    for folder in ["unifybench/data/unifybench-mini", "unifybench/data/unifybench-validation", "../examples/own"] {
        assert_problems(&here.join("..").join(folder), &[]);
    }
}

/// Plants one fault in a copy of the three concepts: exactly the problem at `(file, key)` is found, and said with `words`.
fn fault(plant: impl Fn(&Path), (file, key): (&str, &str), words: &str) {
    let copy = copy(&concepts());
    plant(copy.path());
    let report = assert_problems(copy.path(), &[(file, key)]);
    let text = report.problems[0].to_string();
    assert!(text.contains(words), "expected {words:?} in\n{text}");
}

/// As [`fault`], of a replacement in a file.
fn slip(file: &str, from: &str, to: &str, key: &str, words: &str) {
    fault(|root| replace(root, file, from, to), (file, key), words);
}

/// As [`fault`], of a file with these bytes.
fn file(path: &str, bytes: &[u8], at: (&str, &str), words: &str) {
    fault(|root| write(root, path, bytes), at, words);
}

/// As [`fault`], of a file that is removed.
fn removed(path: &str, at: (&str, &str), words: &str) {
    fault(|root| fs::remove_file(root.join(path)).unwrap(), at, words);
}

#[test]
fn info() {
    slip(INFO, r#""class": "cat","#, "", "", "add `class`: What the concept is");
    slip(INFO, r#""class": "cat""#, r#""class": 3"#, "/class", "text (a string)");
    slip(INFO, r#""class": "cat""#, r#""class": " ""#, "/class", "text that is not empty");
    slip(INFO, r#""name": "miso""#, r#""name": "mio""#, "/name", "the name of the folder");
    slip(INFO, FACT, "", "/extra_info/0", "text that is not empty");
    slip(INFO, r#""num_testing_info": 2"#, r#""num_testing_info": 5"#, "/num_testing_info", "at most 4");
    slip(INFO, r#""num_testing_info": 2"#, r#""num_testing_info": 0"#, "/num_testing_info", "at least 1");
    slip(INFO, r#""num_testing_info": 2"#, r#""num_testing_info": "2""#, "/num_testing_info", "a whole number");
    slip(INFO, "<miso> eats from a square black bowl.", FACT, "/extra_info/3", "the same as /extra_info/0");
    removed(INFO, (INFO, ""), "no such file");
}

#[test]
fn prompts() {
    let prompts = "/personalized_driven_generation";
    slip(CONDITIONS, "A photo of <miso> asleep on the cushion.", " ", &format!("{prompts}/0"), "not empty");
    slip(CONDITIONS, "personalized_driven", "personalised_driven", "", "the key `personalized_driven_generation`");
    slip(CONDITIONS, r#""A photo of <miso> asleep on the cushion.","#, "", prompts, "got: 3 prompts");
    let twice = ("eating from the bowl in the kitchen", "ASLEEP on the cushion");
    slip(CONDITIONS, twice.0, twice.1, &format!("{prompts}/3"), "the same as /personalized_driven_generation/0");
    slip(CONDITIONS, "<miso> wearing", "<msio> wearing", &format!("{prompts}/2"), "write <miso>");
    removed(CONDITIONS, (CONDITIONS, ""), "one prompt for each fact");
    let list = r#"["A photo of <miso>.", "<miso> asleep.", "<miso> playing.", "<miso> wearing it."]"#;
    file(CONDITIONS, list.as_bytes(), (CONDITIONS, ""), "after the first entry");
    let dense = r#"{"personalized_driven_generation": ["<miso> 1", "<miso> 2", "<miso> 3", "<miso> 4"],
        "personalized_dense_prompt_generation": ["<miso>, a chair, a lamp"], "dense_prompt_generation": ["<miso>, a door"]}"#;
    file(CONDITIONS, dense.as_bytes(), (CONDITIONS, "/personalized_dense_prompt_generation"), "4 facts");
}

#[test]
fn questions() {
    slip(CONVERSATIONS, r#""2.jpg""#, r#""7.jpg""#, "/7.jpg", "which is not there");
    slip(VQA, r#""1.jpg""#, r#""1/2.jpg""#, "/1~12.jpg", "a photograph of concept/test/miso");
    slip(VQA, r#""query""#, r#""question""#, "/0.jpg/0", "the key `query`");
    slip(VQA, r#""<miso>'s eyes are green.""#, "[]", "/0.jpg/0/answer", "an empty array");
    slip(TEXT_ONLY, "<miso> asleep", "<mizo> asleep", "/0/query", "write <miso>");
    slip(CONVERSATIONS, r#""1.jpg""#, r#""0.jpg""#, "/0.jpg", "only the last is read");
    slip("concept/train/miso/positive_recognitions.json", r#""Yes.""#, r#""""#, "/0/answer", "not empty");
    let dense = "concept/test/miso/dense_reasoning.json";
    file(dense, br#"[{"query": "Which fact does <miso> need?"}]"#, (dense, "/0"), "`answer`");
}

#[test]
fn json_text() {
    let info = fs::read(concepts().join(INFO)).unwrap();
    let text = String::from_utf8(info.clone()).unwrap();
    file(INFO, &[b"\xef\xbb\xbf", &info[..]].concat(), (INFO, ""), "BOM");
    let utf16: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    file(INFO, &utf16, (INFO, ""), "UTF-16");
    file(INFO, &utf16[2..], (INFO, ""), "UTF-16");
    file(INFO, text.trim_end().trim_end_matches('}').as_bytes(), (INFO, ""), "malformed JSON");
    file(INFO, format!("{text}]").as_bytes(), (INFO, ""), "trailing characters");
    file(INFO, b"{\"class\": \"caf\xe9\"}", (INFO, ""), "not UTF-8 (from byte 14 on)");
    file(INFO, b" \n", (INFO, ""), "an empty file");
    file(INFO, "[".repeat(100_000).as_bytes(), (INFO, ""), "recursion limit");
    file(LIST, br#"{"vera": 1}"#, (LIST, ""), "an array");
}

#[test]
fn photographs() {
    let photograph = "concept/train/miso/1.jpg";
    let jpeg = fs::read(concepts().join(photograph)).unwrap();
    file(photograph, &jpeg[..jpeg.len() / 2], (photograph, ""), "cut off");
    file(photograph, b"", (photograph, ""), "an empty file");
    file(photograph, b"no picture", (photograph, ""), "no picture");
    file(photograph, b"GIF89a\x01\x00", (photograph, ""), "the format Gif");
    let new = "concept/train/miso/4.png";
    file(new, &png(1)[..80], (new, ""), "cannot be decoded");
    file(photograph, &png(1), (photograph, ""), "rename it to 1.png");
    let held_out = "concept/test/miso/1.jpg";
    file(held_out, &jpeg, (held_out, ""), "the same bytes as concept/train/miso/1.jpg");
    // Of another concept, too.
    let held_out = "concept/test/vera/1.jpg";
    file(held_out, &jpeg, (held_out, ""), "leakage");
}

#[test]
fn names_and_lists() {
    slip(LIST, r#""miso","#, r#""miso", "missing","#, "/2", "no such folder");
    slip(LIST, r#""miso","#, r#""miso", "<miso>","#, "/2", "again");
    slip(LIST, r#""miso","#, r#""miso", "mi/so","#, "/2", "a name without");
    slip(LIST, r#""miso","#, r#""miso", "","#, "/2", "not empty");
    fault(
        |root| fs::remove_dir_all(root.join("concept/test/miso")).unwrap(),
        ("concept/test/miso", ""),
        "the folder of the held-out half",
    );
    let images = "concept/train/train_images.json";
    file(images, br#"{"miso": ["0.jpg", "8.jpg"]}"#, (images, "/miso/1"), "which is not there");
    file(images, br#"{"mizo": ["0.jpg"]}"#, (images, "/mizo"), "the name of a concept");
    let score = "concept/train/miso/negative_example/score.json";
    file(score, br#"{"a.png": 0.5}"#, (score, "/a.png"), "which is not there");
    // Both halves of a folder that the list does not name, and of one whose name is no name.
    let copy = copy(&concepts());
    replace(copy.path(), LIST, "\"miso\",", "");
    assert_problems(copy.path(), &[("concept/test/miso", ""), ("concept/train/miso", "")]);
    let spoilt = tempfile::tempdir().unwrap();
    write(spoilt.path(), "concept/train/ bo>/0.png", png(1));
    let report = check(spoilt.path()).unwrap();
    let first = &report.problems[0];
    assert!(report.problems.iter().any(|p| p.file == "concept/train/ bo>" && p.got.contains(" bo>")), "{first}");
}

#[test]
fn many_faults_are_found_at_once() {
    let copy = copy(&concepts());
    let root = copy.path();
    replace(root, LIST, "\"vera\"", "\"vera\", \"leo\"");
    replace(root, INFO, r#""class": "cat","#, "");
    replace(root, INFO, r#""num_testing_info": 2"#, r#""num_testing_info": 9"#);
    replace(root, INFO, "<miso> eats from", "<mso> eats from");
    replace(root, CONDITIONS, r#""A photo of <miso> asleep on the cushion.","#, "");
    replace(root, VQA, r#""1.jpg""#, r#""9.jpg""#);
    replace(root, CONVERSATIONS, r#""1.jpg""#, r#""0.jpg""#);
    write(root, TEXT_ONLY, b"\xff\xfe[\0]\0");
    write(root, "concept/train/kona/1.jpg", b"");
    write(root, "concept/train/vera/5.png", b"\xff\xd8\xff\xe0");
    fs::copy(root.join("concept/train/vera/0.jpg"), root.join("concept/test/vera/2.jpg")).unwrap();
    write(root, "concept/train/kona/negative_example/score.json", r#"{"x.png": "high"}"#);
    let score = "concept/train/kona/negative_example/score.json";
    let report = assert_problems(
        root,
        &[
            (LIST, "/1"),
            (INFO, ""),
            (INFO, "/num_testing_info"),
            (INFO, "/extra_info/3"),
            (CONDITIONS, "/personalized_driven_generation"),
            (VQA, "/9.jpg"),
            (CONVERSATIONS, "/0.jpg"),
            (TEXT_ONLY, ""),
            ("concept/train/kona/1.jpg", ""),
            ("concept/train/vera/5.png", ""),
            ("concept/test/vera/2.jpg", ""),
            (score, "/x.png"),
            (score, "/x.png"),
        ],
    );
    assert!(report.to_string().contains("13 problems"), "{report}");
}

/// Plants what may be meant so: no problem, and a warning at `(file, key)`.
fn warning(plant: impl Fn(&Path), (file, key): (&str, &str), words: &str) {
    let copy = copy(&concepts());
    plant(copy.path());
    let report = assert_problems(copy.path(), &[]);
    let at = |w: &&counterpoint_dataset::Finding| (w.file.as_str(), w.key.as_str()) == (file, key);
    let found = report.warnings.iter().find(at).unwrap_or_else(|| panic!("no warning at {file} {key}\n{report}"));
    assert!(found.to_string().contains(words), "{found}");
}

#[test]
fn warnings_are_no_problems() {
    warning(|_| {}, ("concept/train/miso", ""), "cropped/");
    for file in ["notes.txt", "concept/notes.txt", "concept/train/notes.txt", "concept/test/kona/notes.txt"] {
        warning(|root| write(root, file, "x"), (file, ""), "nobody reads");
    }
    let webp = "concept/train/miso/9.webp";
    warning(|root| write(root, webp, "x"), (webp, ""), "convert it");
    let small = "concept/train/miso/9.png";
    warning(|root| write(root, small, png_of(63, 1)), (small, ""), "63 x 63");
    let large = "concept/train/miso/9.png";
    warning(|root| write(root, large, png_of(8001, 1)), (large, ""), "8001 x 8001");
    let unnumbered = "concept/train/miso/cat.png";
    warning(|root| write(root, unnumbered, png(1)), (unnumbered, ""), "no number");
    warning(|root| replace(root, VQA, "<miso>'s eyes?", "its eyes?"), (VQA, "/0.jpg/0/query"), "mentions <miso>");
    warning(
        |root| replace(root, INFO, "\"num_testing_info\"", "\"num_test_info\""),
        (INFO, "/num_test_info"),
        "nobody reads",
    );
    warning(|root| fs::remove_file(root.join(VQA)).unwrap(), (VQA, ""), "no such file");
    let copied = |root: &Path| {
        fs::copy(root.join("concept/train/miso/0.jpg"), root.join("concept/train/miso/9.jpg")).unwrap();
    };
    warning(copied, ("concept/train/miso/9.jpg", ""), "the same bytes");
}

#[test]
fn other_files_of_the_layout_are_known() {
    let copy = copy(&concepts());
    let before = check(copy.path()).unwrap().warnings.len();
    write(copy.path(), "template.json", "{}");
    write(copy.path(), "random_images/0.png", png(1));
    write(copy.path(), "concept/train/miso/cropped/0.png", png(2));
    write(copy.path(), "concept/train/miso/negative_example/a.png", png(3));
    write(copy.path(), "concept/train/miso/negative_example/score.json", r#"{"a.png": 0.5}"#);
    write(copy.path(), "concept/train/miso/0_mask.png", png(4));
    write(copy.path(), "concept/train/.DS_Store", "");
    let after = assert_problems(copy.path(), &[]);
    assert_eq!(after.warnings.len(), before - 1, "{after}");
    // Without the list the folders are the concepts.
    fs::remove_file(copy.path().join(LIST)).unwrap();
    assert_eq!(assert_problems(copy.path(), &[]).summary.concepts, 3);
}

#[test]
fn a_folder_of_no_layout_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(check(empty.path()).unwrap_err().kind(), ErrorKind::Data);
    assert_eq!(check(&empty.path().join("nowhere")).unwrap_err().kind(), ErrorKind::Io);
}
