//! The header, compiled by the system's C and C++ compilers, has the sizes, offsets and constants of the Rust types.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

use counterpoint_abi::*;

/// One line for each name: what C prints and what Rust has.
macro_rules! lines {
    ($($name:ident { $($field:ident),* })*) => {
        (
            vec![$(
                format!("PRINT({}, sizeof({}))", stringify!($name), stringify!($name)),
                $(format!("PRINT({}.{}, offsetof({}, {}))", stringify!($name), stringify!($field), stringify!($name), stringify!($field)),)*
            )*],
            vec![$(
                (stringify!($name).to_owned(), size_of::<$name>() as i128),
                $((concat!(stringify!($name), ".", stringify!($field)).to_owned(), offset_of!($name, $field) as i128),)*
            )*],
        )
    };
}

macro_rules! constants {
    ($($name:ident)*) => {
        (vec![$(format!("PRINT({0}, {0})", stringify!($name))),*], vec![$((stringify!($name).to_owned(), $name as i128)),*])
    };
}

/// C's statements and Rust's values.
fn expected() -> (Vec<String>, Vec<(String, i128)>) {
    let (mut c, mut rust) = lines! {
        cpt_str { data, size }
        cpt_image { data, width, height, format, reserved, row_stride, pixel_stride }
        cpt_item { prompt, response, class_name, params, image, references, n_references, candidate }
        cpt_batch { struct_size, item_stride, image_stride, reserved, items, n_items, seed, deadline_ns }
        cpt_scores { struct_size, n_outputs, values, status }
        cpt_host { struct_size, minor, context, log, fail, cancelled, extension }
        cpt_setup { struct_size, reserved, expert, settings, base }
        cpt_plugin_v1 { magic, major, minor, struct_size, capabilities, manifest, create, score, destroy, extension }
    };
    let (more_c, more_rust) = constants! {
        CPT_MAGIC CPT_ABI_MAJOR CPT_ABI_MINOR CPT_OK CPT_ERROR CPT_PANIC CPT_CANCELLED CPT_UNWRITTEN CPT_VALUE CPT_ABSTAIN
        CPT_FAIL CPT_CAP_CONCURRENT CPT_CAP_DETERMINISTIC CPT_CAP_BATCH_INVARIANT CPT_RGB_U8 CPT_RGB_F32 CPT_LOG_ERROR
        CPT_LOG_WARN CPT_LOG_INFO CPT_LOG_DEBUG CPT_WHOLE_CALL CPT_IMAGE_SIZE_0 CPT_ITEM_SIZE_0 CPT_BATCH_SIZE_0
        CPT_SCORES_SIZE_0 CPT_HOST_SIZE_0 CPT_SETUP_SIZE_0 CPT_PLUGIN_V1_SIZE_0
    };
    c.extend(more_c);
    rust.extend(more_rust);
    (c, rust)
}

fn check(compiler: &str, standard: &str, ending: &str) {
    let (statements, expected) = expected();
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join(format!("layout.{ending}")), folder.path().join("layout"));
    // C has no i128: what is above the largest signed number is printed unsigned.
    let print = "#define PRINT(name, value) if ((value) < 0) printf(#name \" %lld\\n\", (long long)(value)); \
                 else printf(#name \" %llu\\n\", (unsigned long long)(value));";
    let text = format!(
        "#include \"counterpoint_plugin.h\"\n#include <stdio.h>\n{print}\nint main(void) {{\n{}\nreturn 0;\n}}\n",
        statements.join("\n")
    );
    std::fs::write(&source, text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let made = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wno-type-limits", "-I"])
        .arg(&include)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|e| panic!("cannot start the compiler `{compiler}`: {e}"));
    assert!(made.status.success(), "{compiler}: {}", String::from_utf8_lossy(&made.stderr));
    let printed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let got: Vec<(String, i128)> = printed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn the_header_is_c11_and_has_the_layout_of_the_rust_types() {
    check(&std::env::var("CC").unwrap_or_else(|_| "cc".into()), "-std=c11", "c");
}

#[test]
fn the_header_is_cpp17_and_has_the_layout_of_the_rust_types() {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("not run: there is no C++ compiler `{compiler}`");
        return;
    }
    check(&compiler, "-std=c++17", "cpp");
}
