//! Files of every format are read bit for bit, damaged and hostile ones are refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, FloatDType, TensorData};
use counterpoint::ErrorKind;
use counterpoint_weights::{
    ConvertOptions, Format, WeightFiles, non_finite, save_tensors, save_torch, save_torch_tensor,
};

type Tensors = Vec<(String, TensorData)>;
/// Name to dtype, shape and bytes in hexadecimal.
type Expected = BTreeMap<String, (String, Vec<usize>, String)>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn dtype(name: &str) -> DType {
    match name {
        "float32" => DType::F32,
        "float64" => DType::F64,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" => DType::I64,
        "uint8" => DType::U8,
        "bool" => DType::Bool(burn::tensor::BoolStore::Native),
        other => panic!("{other}"),
    }
}

fn some_tensors() -> Tensors {
    vec![
        ("b.weight".into(), TensorData::new(vec![1.0_f32, -2.0, 3.5, 4.0, 5.0, 6.25], [2, 3])),
        ("a.bias".into(), TensorData::new(vec![0.5_f32, -0.25], [2]).convert_dtype(DType::BF16)),
        ("a.half".into(), TensorData::new(vec![0.5_f32; 300], [300]).convert_dtype(DType::F16)),
        ("steps".into(), TensorData::new(vec![1_i64, -1, 1 << 40], [3])),
        ("scalar".into(), TensorData::new(vec![7.0_f64], [0_usize; 0])),
        ("empty".into(), TensorData::new(Vec::<f32>::new(), [0, 4])),
    ]
}

fn same(files: &WeightFiles, tensors: &Tensors) {
    assert_eq!(files.tensors().len(), tensors.len());
    for (name, data) in tensors {
        let read = files.read(name).unwrap();
        assert_eq!((read.dtype(), read.shape()), (data.dtype(), data.shape()), "{name}");
        assert_eq!(read.as_bytes(), data.as_bytes(), "{name}");
    }
}

fn refused(path: &Path, parts: &[&str]) {
    let error = WeightFiles::open(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
    let text = format!("{error:#}");
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn files_that_torch_wrote_are_read_bit_for_bit() {
    let text = std::fs::read(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&text).unwrap();
    assert_eq!(expected.len(), 6);
    for (file, tensors) in expected {
        let files = WeightFiles::open(&fixture(&file)).unwrap();
        assert_eq!(files.format(), Format::Torch);
        let names: Vec<&str> = files.tensors().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, tensors.keys().collect::<Vec<_>>(), "{file}");
        for (info, (name, (kind, shape, bytes))) in files.tensors().iter().zip(&tensors) {
            assert_eq!((info.dtype, &info.shape), (dtype(kind), shape), "{file}: {name}");
            assert_eq!(&hex::encode(files.read(name).unwrap().as_bytes()), bytes, "{file}: {name}");
        }
    }
}

#[test]
fn of_a_training_checkpoint_the_model_is_taken_and_the_rest_is_mentioned() {
    let files = WeightFiles::open(&fixture("nested.ckpt")).unwrap();
    assert_eq!(files.tensors().len(), 2);
    assert_eq!(files.notes(), ["the model is under \"state_dict\"; 1 other tensors of the file are left out"]);
}

#[test]
fn a_pickle_that_would_run_a_program_is_refused_and_runs_nothing() {
    refused(&fixture("malicious.pt"), &["malicious.pt", "refused", ".system", "nothing was run"]);
    refused(&fixture("malicious_legacy.pt"), &["malicious_legacy.pt", "refused", "eval"]);
    refused(&fixture("malicious.bin"), &["malicious.bin", "refused", ".system"]);
    for folder in [Path::new(env!("CARGO_MANIFEST_DIR")), &std::env::current_dir().unwrap()] {
        assert!(!folder.join("counterpoint_was_here").exists());
    }
}

/// A zip file as `torch.save` makes it, with `pickle` in it and nothing else.
fn zip_of(path: &Path, pickle: &[u8]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(pickle).unwrap();
    zip.finish().unwrap();
}

/// `value`, remembered and recalled: a tuple of two of it, of those two again, and so on. Each recall was a copy: a pickle of 287
/// bytes took 5.9 GB.
fn doubling(value: &[u8], levels: u8) -> Vec<u8> {
    let mut pickle = value.to_vec();
    for level in 0..levels {
        // BINPUT, BINGET, TUPLE2.
        pickle.extend([b'q', level, b'h', level, 0x86]);
    }
    pickle
}

#[test]
fn a_small_pickle_of_tuples_that_double_is_refused_before_it_fills_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pt");
    let bomb = [b"\x80\x02".as_slice(), &doubling(b")", 28), b"."].concat();
    assert!(bomb.len() < 287);
    for (name, pickle) in [
        ("bare", bomb.clone()),
        ("in a dictionary", [b"\x80\x02}X\x01\0\0\0a", &bomb[2..bomb.len() - 1], b"s."].concat()),
    ] {
        zip_of(&path, &pickle);
        let begun = std::time::Instant::now();
        refused(&path, &["bomb.pt", "fetch it again", "memo bomb"]);
        assert!(begun.elapsed().as_secs() < 10, "{name}: {:?}", begun.elapsed());
        std::fs::write(&path, &pickle).unwrap();
        refused(&path, &["bomb.pt", "memo bomb"]);
    }
}

/// The same beside a tensor, in the pickle of a bare one: its hooks.
#[test]
fn a_bare_tensor_with_hooks_that_double_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (good, path) = (folder.path().join("good.pt"), folder.path().join("bomb.pt"));
    save_torch_tensor(&good, &some_tensors()[0].1).unwrap();
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&good).unwrap()).unwrap();
    let mut pickle = Vec::new();
    archive.by_name("archive/data.pkl").unwrap().read_to_end(&mut pickle).unwrap();
    // `OrderedDict()` is the last argument: ccollections\nOrderedDict\n)R, then tR and the end.
    let end = b")RtR.";
    assert!(pickle.ends_with(end));
    let at = pickle.len() - end.len() - b"ccollections\nOrderedDict\n".len();
    let bomb = [&pickle[..at], &doubling(b")", 28), b"tR."].concat();
    zip_of(&path, &bomb);
    refused(&path, &["bomb.pt", "memo bomb"]);
}

#[test]
fn files_of_every_small_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.pt");
    for length in 0..600 {
        let tensor = TensorData::new((0..length).map(|n| n as f32).collect::<Vec<_>>(), [length]);
        save_torch_tensor(&path, &tensor).unwrap();
        same(&WeightFiles::open(&path).unwrap(), &vec![("tensor".into(), tensor.clone())]);
        let named = vec![("bias".into(), tensor)];
        save_torch(&path, &named).unwrap();
        same(&WeightFiles::open(&path).unwrap(), &named);
    }
}

/// The zip file at `path` as torch ends it, in the zip64 form, its entries in the folder `root`.
fn as_torch_ends_it(path: &Path, root: &str) {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut copy = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).unwrap();
        let name = entry.name().unwrap().replacen("archive", root, 1);
        copy.raw_copy_file_rename(entry, name).unwrap();
    }
    let bytes = copy.finish().unwrap().into_inner();
    let (rest, end) = bytes.split_at(bytes.len() - 22);
    let number = |at: usize, length: usize| {
        let bytes = end[at..at + length].iter().rev();
        bytes.fold(0_u64, |n, byte| (n << 8) | u64::from(*byte))
    };
    let mut whole = rest.to_vec();
    whole.extend(b"PK\x06\x06");
    whole.extend(44_u64.to_le_bytes());
    whole.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [number(10, 2), number(10, 2), number(12, 4), number(16, 4)] {
        whole.extend(number.to_le_bytes());
    }
    whole.extend(b"PK\x06\x07\0\0\0\0");
    whole.extend((rest.len() as u64).to_le_bytes());
    whole.extend([1, 0, 0, 0]);
    whole.extend(end);
    std::fs::write(path, whole).unwrap();
}

/// A first name of 30 bytes, as UniCTokens' `epoch_15_lm_head_bias.pt` has it, was no zip file to the library.
#[test]
fn files_of_torch_are_read_whatever_the_length_of_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("named.pt");
    for length in 1..40 {
        let root = "n".repeat(length);
        let tensors = some_tensors();
        save_torch(&path, &tensors).unwrap();
        as_torch_ends_it(&path, &root);
        same(&WeightFiles::open(&path).unwrap(), &tensors);
        save_torch_tensor(&path, &tensors[0].1).unwrap();
        as_torch_ends_it(&path, &root);
        same(&WeightFiles::open(&path).unwrap(), &vec![("tensor".into(), tensors[0].1.clone())]);
    }
}

#[cfg(unix)]
#[test]
fn a_file_has_the_permissions_of_any_other_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("model.safetensors"), folder.path().join("other"));
    save_tensors(&path, &some_tensors(), &HashMap::new()).unwrap();
    std::fs::write(&other, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

#[test]
fn every_format_reads_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = some_tensors();
    let first = folder.path().join("first.safetensors");
    save_tensors(&first, &tensors, &HashMap::from([("format".into(), "pt".into())])).unwrap();
    let files = WeightFiles::open(&first).unwrap();
    same(&files, &tensors);
    assert_eq!(files.metadata()["format"], "pt");
    for name in ["second.bpk", "second.pt", "second.safetensors"] {
        let path = folder.path().join(name);
        files.convert(&path, &ConvertOptions::default()).unwrap();
        same(&WeightFiles::open(&path).unwrap(), &tensors);
        let back = folder.path().join(format!("{name}.safetensors"));
        WeightFiles::open(&path).unwrap().convert(&back, &ConvertOptions::default()).unwrap();
        same(&WeightFiles::open(&back).unwrap(), &tensors);
    }
    let torch = folder.path().join("third.bin");
    save_torch(&torch, &tensors).unwrap();
    same(&WeightFiles::open(&torch).unwrap(), &tensors);
    let bare = folder.path().join("bare.pt");
    save_torch_tensor(&bare, &tensors[0].1).unwrap();
    same(&WeightFiles::open(&bare).unwrap(), &vec![("tensor".into(), tensors[0].1.clone())]);
    let leftovers = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn safetensors_are_written_as_the_formats_own_library_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = vec![some_tensors().swap_remove(0), ("a".into(), TensorData::new(vec![3_u8], [1]))];
    save_tensors(&path, &tensors, &HashMap::from([("format".into(), "pt".into())])).unwrap();
    let views = [
        (
            "b.weight",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 3], tensors[0].1.as_bytes()),
        ),
        ("a", safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![1], tensors[1].1.as_bytes())),
    ];
    let views = views.map(|(name, view)| (name, view.unwrap()));
    let reference = safetensors::serialize(views, Some(HashMap::from([("format".into(), "pt".into())]))).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), reference);
}

/// `check_written.py` loads `written.pt` and `written_tensor.pt` with torch and compares every number.
#[test]
fn torch_files_are_written_as_torch_was_seen_to_load_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.pt");
    save_torch(&path, &some_tensors()).unwrap();
    let (state, bare) = (std::fs::read(&path).unwrap(), folder.path().join("written_tensor.pt"));
    save_torch_tensor(&bare, &some_tensors()[0].1).unwrap();
    let bare = std::fs::read(&bare).unwrap();
    if std::env::var_os("COUNTERPOINT_BLESS").is_some() {
        std::fs::write(fixture("written.pt"), &state).unwrap();
        std::fs::write(fixture("written_tensor.pt"), &bare).unwrap();
    }
    assert!(state == std::fs::read(fixture("written.pt")).unwrap(), "written.pt changed: bless and check with torch");
    assert!(bare == std::fs::read(fixture("written_tensor.pt")).unwrap(), "written_tensor.pt changed");
}

#[test]
fn casts_and_new_names_on_the_way_and_no_file_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.safetensors"), folder.path().join("to.pt"));
    save_tensors(&from, &some_tensors(), &HashMap::new()).unwrap();
    let files = WeightFiles::open(&from).unwrap();
    let how = ConvertOptions {
        renamed: &[("^a\\.(.*)$", "first.$1"), ("^first\\.half$", "half")],
        dtype: Some(FloatDType::F32),
        overwrite: false,
    };
    files.convert(&to, &how).unwrap();
    let converted = WeightFiles::open(&to).unwrap();
    let names: Vec<&str> = converted.tensors().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["b.weight", "empty", "first.bias", "half", "scalar", "steps"]);
    assert_eq!(converted.read("first.bias").unwrap(), TensorData::new(vec![0.5_f32, -0.25], [2]));
    assert_eq!(converted.read("steps").unwrap().dtype(), DType::I64, "integers are not cast");

    let before = std::fs::read(&to).unwrap();
    let text = files.convert(&to, &ConvertOptions::default()).unwrap_err().to_string();
    assert!(text.contains("to.pt exists"), "{text}");
    assert_eq!(std::fs::read(&to).unwrap(), before);
    let how = ConvertOptions { renamed: &[("^a\\..*$", "same")], overwrite: true, dtype: None };
    let text = files.convert(&to, &how).unwrap_err().to_string();
    assert!(text.contains("a.bias and a.half are both renamed to same"), "{text}");
    let how = ConvertOptions { renamed: &[("(", "")], ..ConvertOptions::default() };
    assert_eq!(files.convert(&folder.path().join("x.pt"), &how).unwrap_err().kind(), ErrorKind::Config);
    let text = files.convert(&folder.path().join("x.onnx"), &ConvertOptions::default()).unwrap_err().to_string();
    assert!(text.contains(".safetensors, .bpk"), "{text}");
}

fn shards(folder: &Path, map: &str) {
    let tensors = some_tensors();
    save_tensors(&folder.join("model-1.safetensors"), &tensors[..3], &HashMap::new()).unwrap();
    save_tensors(&folder.join("model-2.safetensors"), &tensors[3..], &HashMap::new()).unwrap();
    let index = format!("{{\"metadata\": {{\"total_size\": 1}}, \"weight_map\": {map}}}");
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

const MAP: &str = r#"{"b.weight": "model-1.safetensors", "a.bias": "model-1.safetensors", "a.half": "model-1.safetensors",
    "steps": "model-2.safetensors", "scalar": "model-2.safetensors", "empty": "model-2.safetensors"}"#;

#[test]
fn shards_are_read_as_one_and_must_agree_with_their_index() {
    let folder = tempfile::tempdir().unwrap();
    shards(folder.path(), MAP);
    same(&WeightFiles::open(folder.path()).unwrap(), &some_tensors());
    same(&WeightFiles::open(&folder.path().join("model.safetensors.index.json")).unwrap(), &some_tensors());

    shards(folder.path(), &MAP.replace("a.half", "a.other"));
    refused(folder.path(), &["model-1.safetensors", "index", "missing: a.other", "not in the index: a.half"]);
    shards(folder.path(), &MAP.replace("model-2", "../model-2"));
    refused(folder.path(), &["same folder", "../model-2.safetensors"]);
    shards(folder.path(), MAP);
    std::fs::remove_file(folder.path().join("model-2.safetensors")).unwrap();
    refused(folder.path(), &["index.json", "cannot open", "model-2.safetensors"]);
    shards(folder.path(), "{}");
    refused(folder.path(), &["names no tensor"]);
    std::fs::write(folder.path().join("model.safetensors.index.json"), "{\"weight_map\": 3}").unwrap();
    refused(folder.path(), &["index.json", "weight_map"]);
}

#[test]
fn shards_of_torch_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = some_tensors();
    save_torch(&folder.path().join("p-1.bin"), &tensors[..1]).unwrap();
    save_torch(&folder.path().join("p-2.bin"), &tensors[1..2]).unwrap();
    let index = folder.path().join("pytorch_model.bin.index.json");
    std::fs::write(&index, r#"{"weight_map": {"b.weight": "p-1.bin", "a.bias": "p-2.bin"}}"#).unwrap();
    same(&WeightFiles::open(folder.path()).unwrap(), &tensors[..2].to_vec());
}

#[test]
fn a_folder_is_searched_and_its_names_are_told_when_nothing_or_too_much_is_found() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["no weights in", "model.safetensors", "pytorch_model.bin.index.json", ".ckpt"]);
    let tensors = some_tensors();
    save_torch(&folder.path().join("last.ckpt"), &tensors).unwrap();
    same(&WeightFiles::open(folder.path()).unwrap(), &tensors);
    save_torch(&folder.path().join("best.ckpt"), &tensors[..1]).unwrap();
    refused(folder.path(), &["2 weight files", "best.ckpt", "last.ckpt", "name the file"]);
    save_tensors(&folder.path().join("model.safetensors"), &tensors[..2], &HashMap::new()).unwrap();
    assert_eq!(WeightFiles::open(folder.path()).unwrap().tensors().len(), 2);
    refused(&folder.path().join("nowhere"), &["cannot open", "nowhere"]);
}

#[test]
fn a_files_content_decides_not_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.pt"), folder.path().join("model.bin"));
    save_torch(&path, &some_tensors()).unwrap();
    std::fs::rename(&path, folder.path().join("weights")).unwrap();
    same(&WeightFiles::open(&folder.path().join("weights")).unwrap(), &some_tensors());
    save_tensors(&other, &some_tensors(), &HashMap::new()).unwrap();
    assert_eq!(WeightFiles::open(&other).unwrap().format(), Format::Safetensors);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are no weights").unwrap();
    refused(&text, &["notes.txt", "expected safetensors, burnpack", "not a weight file"]);
}

/// Every format, whole and cut off after each of some lengths.
#[test]
fn a_truncated_file_of_any_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("whole.safetensors");
    save_tensors(&source, &some_tensors(), &HashMap::new()).unwrap();
    let files = WeightFiles::open(&source).unwrap();
    let mut paths = vec![source.clone(), folder.path().join("whole.bpk"), folder.path().join("whole.pt")];
    for path in &paths[1..] {
        files.convert(path, &ConvertOptions::default()).unwrap();
    }
    for name in ["legacy.pt", "lm_head_weight.pt"] {
        let path = folder.path().join(name);
        std::fs::copy(fixture(name), &path).unwrap();
        paths.push(path);
    }
    for path in paths {
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 1, 7, 9, 40, whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            refused(&path, &[&name, "fetch it again"]);
        }
    }
}

/// Zip files have checksums: a damaged number is an error that names its tensor.
#[test]
fn a_flipped_bit_in_the_numbers_of_a_torch_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, tensor) in [("written.pt", "b.weight"), ("written_tensor.pt", "tensor")] {
        let path = folder.path().join(name);
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        let number = 6.25_f32.to_le_bytes();
        let at = bytes.windows(4).position(|window| window == number).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let files = WeightFiles::open(&path).unwrap();
        let error = files.read(tensor).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        let text = format!("{error:#}");
        assert!(text.contains(&format!("cannot read {tensor}")), "{text}");
        assert!(text.to_lowercase().contains("checksum"), "{text}");
    }
}

/// Whatever byte is hit. The headers, and the checksums of zip files, notice what they can.
#[test]
fn a_flipped_bit_is_an_error_or_another_number_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("whole.safetensors");
    let tensors = vec![some_tensors().swap_remove(0)];
    save_tensors(&source, &tensors, &HashMap::new()).unwrap();
    let files = WeightFiles::open(&source).unwrap();
    let (bpk, pt) = (folder.path().join("whole.bpk"), folder.path().join("whole.pt"));
    files.convert(&bpk, &ConvertOptions::default()).unwrap();
    files.convert(&pt, &ConvertOptions::default()).unwrap();
    for path in [source, bpk, pt, fixture("legacy.pt"), fixture("transposed.pt")] {
        let whole = std::fs::read(&path).unwrap();
        let damaged = folder.path().join("damaged");
        let (mut noticed, mut flips) = (0, 0);
        let mut file = std::fs::File::create(&damaged).unwrap();
        file.write_all(&whole).unwrap();
        for (at, byte) in whole.iter().enumerate() {
            put(&mut file, at, byte ^ (1 << (at % 8)));
            flips += 1;
            match WeightFiles::open(&damaged) {
                Err(_) => noticed += 1,
                Ok(files) => {
                    let read = files.tensors().iter().map(|info| files.read(&info.name)).collect::<Vec<_>>();
                    noticed += usize::from(read.iter().any(Result::is_err));
                }
            }
            put(&mut file, at, *byte);
        }
        assert!(noticed * 8 > flips, "{}: {noticed} of {flips} flips noticed", path.display());
    }
}

/// One byte of a file, in place: much quicker than the whole file.
fn put(file: &mut std::fs::File, at: usize, byte: u8) {
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}

#[test]
fn an_impossible_offset_and_an_unknown_dtype_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let write = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        std::fs::write(&path, bytes).unwrap();
    };
    write(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    assert_eq!(WeightFiles::open(&path).unwrap().tensors().len(), 1);
    write(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}"#, 8);
    refused(&path, &["model.safetensors", "fetch it again"]);
    write(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8);
    refused(&path, &["model.safetensors", "fetch it again"]);
    write(r#"{"a":{"dtype":"F32","shape":[4611686018427387904, 4],"data_offsets":[0,8]}}"#, 8);
    refused(&path, &["model.safetensors", "fetch it again"]);
    write(r#"{"a":{"dtype":"Q7","shape":[2],"data_offsets":[0,8]}}"#, 8);
    refused(&path, &["model.safetensors", "Q7"]);
    write(r#"{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#, 8);
    refused(&path, &["model.safetensors", "a has the dtype F8_E4M3", "convert the file"]);
}

#[test]
fn what_is_not_finite_is_counted_in_every_float_type() {
    let values = vec![0.0_f32, f32::NAN, f32::INFINITY, -1.0, f32::NEG_INFINITY, f32::MAX, -f32::NAN];
    let data = TensorData::new(values, [7]);
    assert_eq!(non_finite(&data), 4);
    assert_eq!(non_finite(&data.clone().convert_dtype(DType::F64)), 4);
    assert_eq!(non_finite(&data.clone().convert_dtype(DType::F16)), 5, "the greatest f32 is infinite in f16");
    assert_eq!(non_finite(&TensorData::new(vec![i64::MAX], [1])), 0);
    let data = TensorData::new(vec![0.0_f32, f32::NAN, f32::INFINITY, 1e30], [4]).convert_dtype(DType::BF16);
    assert_eq!(non_finite(&data), 2);
}
