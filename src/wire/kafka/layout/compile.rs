//! From the layout of a message to the program that walks one version of it.
//!
//! Tagged fields may come in any order or not at all, so their steps stand behind `End`, reached from their section
//! only; a tagged field in which nothing has a role gets no steps and is passed over by its size.

use super::table::{Field, Kind, Message};
use super::{Array, Element, Int, Op, Prefix, Program, Width};

/// Compiles one version, which must be one of the message's.
pub(super) fn compile(message: &'static Message, version: i16) -> Program {
    let program = Program { message, version, ops: Vec::new(), fields: Vec::new(), tags: Vec::new(), tail: None };
    let mut compiler = Compiler {
        program,
        flexible: message.is_flexible(version),
        field: message.name,
        jump_target: 0,
        tagged: Vec::new(),
    };
    compiler.structure(&message.fields);
    compiler.push(Op::End);
    while let Some((section, tag, field)) = compiler.tagged.pop() {
        let start = compiler.here();
        compiler.program.tags[section].push((tag, start));
        compiler.field(field);
        compiler.push(Op::TagEnd);
    }
    compiler.program
}

struct Compiler {
    program: Program,
    flexible: bool,
    /// The field whose steps are being written.
    field: &'static str,
    /// The last step that is jumped to: nothing is merged into what stands before it.
    jump_target: u32,
    /// Tagged fields that still need steps: section, tag, field.
    tagged: Vec<(usize, u32, &'static Field)>,
}

impl Compiler {
    fn here(&self) -> u32 {
        self.program.ops.len() as u32
    }

    fn push(&mut self, op: Op) {
        self.program.ops.push(op);
        self.program.fields.push(self.field);
    }

    fn skip(&mut self, size: u32) {
        let mergeable = self.here() > self.jump_target;
        match self.program.ops.last_mut() {
            Some(Op::Skip(before)) if mergeable => *before += size,
            _ => self.push(Op::Skip(size)),
        }
    }

    fn present(&self, field: &Field) -> bool {
        field.versions.contains(self.program.version)
    }

    fn prefix(&self, field: &Field, inflexible: Width) -> Prefix {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(self.program.version));
        Prefix { width: if self.flexible { Width::Compact } else { inflexible }, nullable }
    }

    /// Fields in a row and, in flexible versions, the tagged section that ends them.
    fn structure(&mut self, fields: &'static [Field]) {
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            if self.present(field) {
                self.field(field);
            }
            if field.tail_follows {
                self.push(Op::Tail);
                self.program.tail = Some(self.here());
            }
        }
        if self.flexible {
            self.tagged_section(fields);
        }
    }

    fn tagged_section(&mut self, fields: &'static [Field]) {
        self.field = "tagged fields";
        let section = self.program.tags.len();
        self.program.tags.push(Vec::new());
        for field in fields {
            if let Some(tag) = field.tag
                && self.present(field)
                && self.has_role(field)
            {
                self.tagged.push((section, tag, field));
            }
        }
        self.push(Op::Tags);
        self.push(Op::Tag(section as u32));
    }

    fn field(&mut self, field: &'static Field) {
        self.field = field.name;
        if field.array {
            self.array(field);
        } else if field.kind == Kind::Structure {
            self.single_structure(field);
        } else {
            self.scalar(field);
        }
    }

    fn array(&mut self, field: &'static Field) {
        let prefix = self.prefix(field, Width::Four);
        if let Some(size) = self.plain_size(field) {
            self.push(Op::Run(prefix, size));
            return;
        }
        let element = field.role.map(Element::Value).or(field.group.map(Element::Group));
        let count = self.program.ops.len();
        self.push(Op::Array(Array { prefix, element_min: self.element_min(field), after: 0, element }));
        if let Some(group) = field.group {
            self.push(Op::Open(group));
        }
        match field.kind {
            Kind::Structure => self.structure(&field.fields),
            _ => self.scalar(field),
        }
        self.field = field.name;
        if let Some(group) = field.group {
            self.push(Op::Close(group));
        }
        self.push(Op::Next);
        let here = self.here();
        if let Op::Array(array) = &mut self.program.ops[count] {
            array.after = here;
        }
        self.jump_target = here;
    }

    /// A structure that is no array element. One that may be null has an int8 in front: 1, or -1 for null.
    fn single_structure(&mut self, field: &'static Field) {
        if !self.prefix(field, Width::Four).nullable {
            self.structure(&field.fields);
            return;
        }
        let maybe = self.program.ops.len();
        self.push(Op::Maybe(0));
        self.structure(&field.fields);
        self.jump_target = self.here();
        self.program.ops[maybe] = Op::Maybe(self.jump_target);
    }

    /// A value, or an array's element that is one. Kafka's arrays of values hold no nulls.
    fn scalar(&mut self, field: &'static Field) {
        let inflexible = if field.kind == Kind::String { Width::Two } else { Width::Four };
        let mut prefix = self.prefix(field, inflexible);
        prefix.nullable &= !field.array;
        let op = match (field.kind, field.role) {
            (Kind::String, Some(role)) => Op::Text(prefix, role),
            (Kind::Records, Some(role)) => Op::Records(prefix, role),
            (Kind::String | Kind::Bytes | Kind::Records | Kind::Structure, role) => Op::Opaque(prefix, role),
            (Kind::Uuid, Some(role)) => Op::Uuid(role),
            (Kind::Bool, Some(role)) => Op::Int(Int::Bool, role),
            (Kind::Int8, Some(role)) => Op::Int(Int::I8, role),
            (Kind::Int16, Some(role)) => Op::Int(Int::I16, role),
            (Kind::Uint16, Some(role)) => Op::Int(Int::U16, role),
            (Kind::Int32, Some(role)) => Op::Int(Int::I32, role),
            (Kind::Int64 | Kind::Float64, Some(role)) => Op::Int(Int::I64, role),
            (kind, None) => return self.skip(kind.fixed_size().unwrap_or_default()),
        };
        self.push(op);
        if let Op::Records(..) = op {
            self.push(Op::Batches);
        }
    }

    fn has_role(&self, field: &Field) -> bool {
        self.present(field)
            && (field.role.is_some() || field.group.is_some() || field.fields.iter().any(|field| self.has_role(field)))
    }

    /// The size of an array's elements, when it is always the same and nothing in them has a role.
    fn plain_size(&self, field: &Field) -> Option<u32> {
        if self.has_role(field) {
            return None;
        }
        if field.kind != Kind::Structure {
            return field.kind.fixed_size();
        }
        let mut fields = field.fields.iter().filter(|field| self.present(field));
        match self.flexible {
            true => None,
            false => fields.try_fold(0, |sum, field| Some(sum + field.kind.fixed_size().filter(|_| !field.array)?)),
        }
    }

    fn element_min(&self, field: &Field) -> u32 {
        match field.kind {
            Kind::Structure => self.structure_min(field),
            kind => kind.fixed_size().unwrap_or_else(|| self.length_min(kind)),
        }
    }

    fn structure_min(&self, field: &Field) -> u32 {
        let fields = field.fields.iter().filter(|field| self.present(field) && field.tag.is_none());
        u32::from(self.flexible) + fields.map(|field| self.field_min(field)).sum::<u32>()
    }

    fn field_min(&self, field: &Field) -> u32 {
        if field.array {
            return self.length_min(Kind::Bytes);
        }
        match field.kind {
            Kind::Structure if self.prefix(field, Width::Four).nullable => 1,
            _ => self.element_min(field),
        }
    }

    /// The bytes of an empty array, string, bytes or records.
    fn length_min(&self, kind: Kind) -> u32 {
        match (self.flexible, kind) {
            (true, _) => 1,
            (false, Kind::String) => 2,
            (false, _) => 4,
        }
    }
}
