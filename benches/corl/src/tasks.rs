//! Rows as tasks.

use counterpoint::{Drawn, Error, FlatTasks, Key, Result, Streams, Task, TaskSource};
use serde_json::{Map, Value};

use crate::{CorlConfig, Halves, Row};

/// Rows as tasks, drawn at random, each with the same chance, or in another [order](counterpoint::TaskOrder).
///
/// A task asks the question about the real image, and has the prompt as its base prompt; the real image is its reference too. With a
/// sampler whose `prompt` is `"base"` a candidate is an image for the prompt and an answer to the question, which is CoRL's unified
/// task; of one half alone, the other is left out ([`Halves`]). Parameters: `qa_problem`, `qa_solution` and `qa_type`, as far as they
/// are there.
#[derive(Debug)]
pub struct CorlTasks {
    rows: Vec<Row>,
    config: CorlConfig,
    flat: FlatTasks,
}

impl CorlTasks {
    /// Tasks of these rows.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when `question` has no place for the question, [`Data`](counterpoint::ErrorKind::Data)
    /// when there are no rows.
    pub fn new(rows: Vec<Row>, config: &CorlConfig) -> Result<Self> {
        if !config.question.contains("{question}") {
            let got = &config.question;
            return Err(Error::config(format!("data.question: expected {{question}} in it, got {got:?}")));
        }
        if rows.is_empty() {
            return Err(Error::data("expected one row or more, got none"));
        }
        Ok(Self { rows, config: config.clone(), flat: FlatTasks::after(config.skip_flat) })
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The task of row `number`; where halves alternate, that of both.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) naming file and row when its image is none.
    pub fn of(&self, number: usize) -> Result<Task> {
        self.half_of(number, self.config.halves)
    }

    fn half_of(&self, number: usize, halves: Halves) -> Result<Task> {
        let row = self
            .rows
            .get(number)
            .ok_or_else(|| Error::data(format!("expected a row below {}, got {number}", self.rows.len())))?;
        let task = self.without_image(number, row, halves);
        let generation_alone = halves == Halves::Generation;
        if generation_alone && row.image.is_none() {
            return Ok(task);
        }
        let image = row.picture()?;
        let mut task = task.with_references(vec![image.clone()]);
        task.image = (!generation_alone).then_some(image);
        Ok(task)
    }

    fn without_image(&self, number: usize, row: &Row, halves: Halves) -> Task {
        let asked = || Task::new(number as u64, self.config.question.replace("{question}", &row.problem));
        let asked = match halves {
            Halves::Generation => Task::new(number as u64, "").with_response(""),
            Halves::Both | Halves::Alternating => asked(),
            Halves::Understanding => asked().answer_only(),
        };
        let mut params = Map::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                params.insert(key.to_owned(), Value::from(value));
            }
        };
        if halves != Halves::Generation {
            put("qa_problem", &row.problem);
            put("qa_solution", &row.solution);
            put("qa_type", row.kind.as_deref().unwrap_or(""));
        }
        let task = asked.with_class(&*self.config.class).with_params(Value::Object(params));
        match halves {
            Halves::Understanding => task,
            _ => task.with_base_prompt(&*row.prompt),
        }
    }
}

impl TaskSource for CorlTasks {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        let number = match self.config.order.nth(self.rows.len(), cursor, streams) {
            Some(number) => number,
            None => streams.stream(Key::task(step, cursor), "row", 0).below(self.rows.len()),
        };
        let number = self.flat.pass_over(number, self.rows.len());
        let mut task = self.half_of(number, self.config.halves.at(step))?;
        task.id = number as u64;
        Ok(task)
    }

    fn learned(&mut self, drawn: &Drawn) {
        self.flat.saw(drawn.task.id, drawn.flat);
    }

    fn state(&self) -> Value {
        self.flat.state()
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.flat.restore(state)
    }

    /// Every row, without its image, but for the first one, which stands for all.
    fn survey(&self) -> Result<Vec<Task>> {
        let mut tasks: Vec<Task> =
            self.rows.iter().enumerate().map(|(i, row)| self.without_image(i, row, self.config.halves)).collect();
        tasks[0] = self.of(0)?;
        Ok(tasks)
    }
}
