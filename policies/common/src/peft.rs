//! Adapters in the layout of the `peft` package: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use counterpoint::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lora::{LoraConfig, Targets};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What `peft` puts before the names of the model that it wraps.
const WRAPPED: &str = "base_model.model.";

/// Keys of `adapter_config.json` that say nothing about what an adapter computes.
const HARMLESS: [&str; 8] = [
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
];

/// The keys of `adapter_config.json` that this crate reads; others must be at rest, see [`PeftConfig::refuse`].
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Vec<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl PeftConfig {
    fn of(lora: &LoraConfig, targets: &Targets) -> Self {
        let others = serde_json::json!({
            "base_model_name_or_path": null,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "modules_to_save": null,
            "task_type": null,
            "use_dora": false,
            "use_rslora": false,
        });
        Self {
            peft_type: "LORA".to_owned(),
            r: lora.rank,
            lora_alpha: lora.alpha,
            lora_dropout: lora.dropout,
            target_modules: lora.chosen(targets).into_iter().map(str::to_owned).collect(),
            others: others.as_object().map(|o| o.clone().into_iter().collect()).unwrap_or_default(),
        }
    }

    /// Refuses variants of LoRA that this crate does not compute: whatever key is neither at rest nor harmless.
    fn refuse(&self) -> Result<()> {
        if self.peft_type != "LORA" {
            return Err(Error::weights(format!("peft_type: expected `LORA`, got `{}`", self.peft_type)));
        }
        let at_rest = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text == "none",
            Value::Bool(true) | Value::Number(_) => false,
        };
        // Some initialisations change the base weights; these do not.
        let plain_init = |value: &Value| *value == Value::Bool(true) || *value == "gaussian";
        let wrong = self.others.iter().find(|(key, value)| {
            !(at_rest(value) || HARMLESS.contains(&key.as_str()) || *key == "init_lora_weights" && plain_init(value))
        });
        match wrong {
            Some((key, value)) => Err(Error::weights(format!(
                "{key}: expected none, got {value}: plain LoRA alone is supported; merge this adapter with `peft`"
            ))),
            None => Ok(()),
        }
    }
}

impl LoraConfig {
    /// The settings of the adapter in `dir`, which `peft` or [`save`] wrote.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when `adapter_config.json` cannot be read,
    /// [`Weights`](counterpoint::ErrorKind::Weights) when it is of an adapter that this crate does not have.
    pub fn load_peft(dir: &Path, known: &Targets) -> Result<Self> {
        let path = dir.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        let read = || -> Result<Self> {
            let peft: PeftConfig = serde_json::from_str(&text)
                .map_err(|e| Error::weights("not the config of a LoRA adapter").with_source(e))?;
            peft.refuse()?;
            // The order of a set that was written as a list means nothing.
            let mut targets = peft.target_modules;
            targets.sort_by_key(|target| known.names.iter().position(|known| known == target));
            let lora = Self {
                rank: peft.r,
                alpha: peft.lora_alpha,
                dropout: peft.lora_dropout,
                targets: Some(targets),
                ..Self::default()
            };
            lora.validate(known).map_err(|e| Error::weights(format!("{e:#}")))?;
            Ok(lora)
        };
        read().map_err(|e| e.at(path.display()))
    }
}

/// Writes the adapters of `model`, which has no autodiff, into the folder `dir`, as `peft` reads them.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when a file cannot be written.
pub fn save<M: Module>(model: &M, lora: &LoraConfig, targets: &Targets, dir: &Path) -> Result<()> {
    let mut adapters = Collect { targets, path: Vec::new(), found: Ok(BTreeMap::new()) };
    model.visit(&mut adapters);
    let found = adapters.found?;
    let views = found
        .iter()
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let path = dir.join(WEIGHTS);
    let failed = |e: safetensors::SafeTensorError| Error::io("cannot write", &path, std::io::Error::other(e));
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    serialize_to_file(views.map_err(failed)?, Some(metadata), &path).map_err(failed)?;
    let path = dir.join(CONFIG);
    let text = serde_json::to_string_pretty(&PeftConfig::of(lora, targets))
        .map_err(|e| Error::io("cannot write", &path, e.into()))?;
    std::fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))
}

/// `frozen`, none of which is trained, with the adapters in `dir` beside it, whose settings are `lora`.
///
/// # Errors
/// [`Weights`](counterpoint::ErrorKind::Weights), naming the tensor, when one is missing, unexpected or of another shape or type.
pub fn load<M: Module>(frozen: M, lora: &LoraConfig, targets: &Targets, dir: &Path) -> Result<M> {
    let path = dir.join(WEIGHTS);
    let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::weights(format!("{}: damaged or not safetensors", path.display())).with_source(e))?;
    let mut used = 0;
    let model = lora.attach(frozen, targets, |projection, [from, to]| {
        let mut factor = |part: &str, shape: [usize; 2]| {
            used += 1;
            let name = format!("{}.{part}.weight", peft_name(targets, projection));
            read(&file, &name, shape).map_err(|e| e.at(path.display()))
        };
        Ok((factor("lora_A", [lora.rank, from])?, factor("lora_B", [to, lora.rank])?))
    })?;
    if used != file.len() {
        return Err(Error::weights(format!(
            "{}: expected {used} tensors for {}, got {}: it has adapters beside other modules than the layers' {}",
            path.display(),
            lora.chosen(targets).join(", "),
            file.len(),
            targets.names.join(", ")
        )));
    }
    Ok(model)
}

/// `peft`'s name of the module at `path`.
fn peft_name(targets: &Targets, path: &str) -> String {
    format!("{WRAPPED}{}{}", targets.peft, path.strip_prefix(targets.within).unwrap_or(path))
}

/// The f32 tensor `name` of `shape`, transposed.
fn read(file: &SafeTensors<'_>, name: &str, shape: [usize; 2]) -> Result<Vec<f32>> {
    let view = file.tensor(name).map_err(|_| Error::weights(format!("expected a tensor `{name}`, got none")))?;
    if view.shape() != shape {
        return Err(Error::weights(format!("{name}: expected shape {shape:?}, got {:?}", view.shape())));
    }
    if view.dtype() != Dtype::F32 {
        return Err(Error::weights(format!("{name}: expected F32, got {:?}; save the adapter in f32", view.dtype())));
    }
    let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Ok(transposed(&values, shape))
}

fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// Shape and little-endian f32 values of a tensor.
type Stored = ([usize; 2], Vec<u8>);

/// Every adapter's factors under `peft`'s names, in PyTorch's layout `[out, in]`.
struct Collect<'a> {
    targets: &'a Targets,
    path: Vec<String>,
    found: Result<BTreeMap<String, Stored>>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // A weight's factors are its `lora.a` and `lora.b`.
        let [module @ .., _, adapter, factor] = &self.path[..] else { return };
        let part = match (adapter.as_str(), factor.as_str()) {
            ("lora", "a") => "lora_A",
            ("lora", "b") => "lora_B",
            _ => return,
        };
        let Ok(found) = &mut self.found else { return };
        let name = format!("{}.{part}.weight", peft_name(self.targets, &module.join(".")));
        let (shape, values) = (param.lazy_shape(), param.val().cast(DType::F32).try_into_vec_as::<f32>());
        match (values, shape.as_slice()) {
            (Ok(values), &[rows, columns]) => {
                let bytes = transposed(&values, [rows, columns]).into_iter().flat_map(f32::to_le_bytes).collect();
                found.insert(name, ([columns, rows], bytes));
            }
            (Err(e), _) => self.found = Err(Error::contract(format!("cannot read {name}")).with_source(e.to_string())),
            (Ok(_), _) => {}
        }
    }
}
