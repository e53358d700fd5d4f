//! The published files that FER needs; its constructor and whoever fetches files share the list.

use counterpoint_weights::hub::{Files, Need};

/// The face detector, MTCNN's three networks.
pub const DETECTOR_FILES: Files =
    Files::new(&[Need::file(&[&["pnet.pt", "rnet.pt", "onet.pt"], &["model.safetensors"]])]).published(
        "pnet.pt, rnet.pt and onet.pt are in the folder data/ of the wheel of facenet-pytorch 2.6.0 on PyPI",
    );

/// The recognition network, FaceNet (InceptionResnetV1 trained on VGGFace2), also as TensorFlow's frozen graph.
pub const WEIGHTS_FILES: Files =
    Files::new(&[Need::file(&[&["20180402-114759-vggface2.pt"], &["model.safetensors"], &["*.pb"]])])
        .published("an asset of the releases of https://github.com/timesler/facenet-pytorch");
