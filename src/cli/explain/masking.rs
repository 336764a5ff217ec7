//! Which masking rules apply, which do not and why, and what one would have to be to see it clear.

use std::io::Write;

use serde::Serialize;

use super::page::Page;
use super::{Question, words};
use crate::cli::error::CliError;
use crate::mask::Target;
use crate::policy::{FieldPath, MaskDecision, MaskNamed, MaskingRule, Patterns, Unparsable};

/// What there is to say; `docs/json.md` documents its fields.
#[derive(Serialize)]
pub(super) struct Section {
    rules: Vec<Rule>,
    decisions: Vec<Decision>,
    /// What becomes of a value, and of a key, that cannot be parsed; none where nothing looks into it.
    unparsable_value: Option<Unreadable>,
    unparsable_key: Option<Unreadable>,
    /// Rules that mask what is produced to a topic that is read here.
    topic_masked_by: Vec<String>,
}

#[derive(Serialize)]
struct Rule {
    rule: String,
    name: Option<String>,
    applies: bool,
    why_not: Option<WhyNot>,
    not_known: Vec<NotKnown>,
    fields: Vec<String>,
    detect: Vec<String>,
    action: &'static str,
    keeps: Option<u32>,
    unparsable: &'static str,
    lifted_by: Vec<Remedy>,
    #[serde(skip)]
    told: Told,
}

/// What is for people alone.
struct Told {
    action: String,
    briefly: String,
}

#[derive(Serialize)]
struct WhyNot {
    reason: &'static str,
    text: String,
}

/// Something that was not said, and counts as what the rule is about.
#[derive(Serialize)]
struct NotKnown {
    what: &'static str,
    about: Vec<String>,
}

/// What would lift a rule.
#[derive(Serialize)]
struct Remedy {
    by: &'static str,
    names: Vec<String>,
    text: String,
}

/// What becomes of what cannot be parsed, as the rules ask that are strictest about it.
#[derive(Serialize)]
struct Unreadable {
    action: &'static str,
    rules: Vec<String>,
}

/// What becomes of one thing that rules name.
#[derive(Serialize)]
struct Decision {
    /// A path, or a detector.
    names: String,
    kind: &'static str,
    rule: String,
    action: &'static str,
    keeps: Option<u32>,
    /// Rules that leave more of it.
    over: Vec<String>,
}

impl Section {
    pub(super) fn of(question: &Question<'_>, groups: &[String]) -> Section {
        let (rules, client) = (question.rules(), question.client(groups));
        let applying = rules.on_topic(rules.of_client(question.direction(), &client), Some(question.topic));
        let numbered = || rules.iter().enumerate();
        let rule = |(number, rule): (usize, &MaskingRule)| {
            let why_not = rule.why_not(question.direction(), &client, Some(question.topic));
            let why_not = why_not.map(|why| WhyNot { reason: why.word(), text: words::exemption(&why, rule) });
            Rule::of(question, number, rule, why_not)
        };
        let all: Vec<&MaskingRule> = rules.iter().collect();
        let decision = |decided: MaskDecision<'_>| {
            let winner = &all[decided.rule].action;
            let weaker = decided.others.iter().filter(|other| all[**other].action != *winner);
            let (action, keeps) = words::action(winner);
            let (kind, names) = match decided.named {
                MaskNamed::Field(path) => ("field", path.to_string()),
                MaskNamed::Detected(detector) => ("detector", words::detector(detector)),
            };
            let over = weaker.map(|other| words::place(*other)).collect();
            Decision { names, kind, rule: words::place(decided.rule), action, keeps, over }
        };
        let masks_topic = |(_, rule): &(usize, &MaskingRule)| {
            question.is_read()
                && rule.on.produce
                && rule.topics.matches(question.topic)
                && serves_cluster(question, rule)
        };
        let of_set: Vec<(usize, &MaskingRule)> = applying.iter().zip(rules.of(applying)).collect();
        Section {
            unparsable_value: unreadable(&of_set, Part::Value),
            unparsable_key: unreadable(&of_set, Part::Key),
            rules: numbered().map(rule).collect(),
            decisions: rules.decisions(applying).into_iter().map(decision).collect(),
            topic_masked_by: numbered().filter(masks_topic).map(|(number, _)| words::place(number)).collect(),
        }
    }

    pub(super) fn print(&self, question: &Question<'_>, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        let (applying, others): (Vec<&Rule>, Vec<&Rule>) = self.rules.iter().partition(|rule| rule.applies);
        let verdict = match (applying.len(), self.rules.len()) {
            (_, 0) => "the policy has no rules: everything passes as it is".to_owned(),
            (0, all) => format!("none of {all} rules applies: everything passes as it is"),
            (applying, all) => format!("{applying} of {all} rules {}", if applying == 1 { "applies" } else { "apply" }),
        };
        page.section("MASKING", &verdict)?;
        for rule in &applying {
            page.space()?;
            rule.print(question, page)?;
        }
        self.print_meetings(page)?;
        self.print_unreadable(question, page)?;
        if !others.is_empty() {
            page.space()?;
            page.text(2, if others.len() == 1 { "This one does not apply:" } else { "These do not apply:" })?;
            for rule in others {
                let why = rule.why_not.as_ref().map_or("", |why| why.text.as_str());
                page.item(4, &format!("{}: {why}", rule.named()))?;
            }
        }
        if !self.topic_masked_by.is_empty() {
            page.space()?;
            let by = self.topic_masked_by.join(", ");
            let text = "What is produced to this topic may have been masked before a broker had it, by";
            page.text(2, &format!("{text} {by}: what was masked then is there for nobody."))?;
        }
        Ok(())
    }

    /// Where rules name the same and would leave different things of it.
    fn print_meetings(&self, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        let briefly = |place: &String| {
            let rule = self.rules.iter().find(|rule| rule.rule == *place);
            format!("{place} ({})", rule.map_or("", |rule| rule.told.briefly.as_str()))
        };
        let met: Vec<&Decision> = self.decisions.iter().filter(|decision| !decision.over.is_empty()).collect();
        if met.is_empty() {
            return Ok(());
        }
        page.space()?;
        page.text(2, "Where several name the same, the one that leaves least of it counts:")?;
        for decision in met {
            let over: Vec<String> = decision.over.iter().map(briefly).collect();
            page.item(4, &format!("{}: {}, not {}", decision.names, briefly(&decision.rule), over.join(", ")))?;
        }
        Ok(())
    }

    fn print_unreadable(&self, question: &Question<'_>, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        let refused = words::refusal(question.is_read());
        let parts = [("value", &self.unparsable_value), ("key", &self.unparsable_key)];
        for (part, unreadable) in parts.into_iter().filter_map(|(part, one)| Some((part, one.as_ref()?))) {
            page.space()?;
            let text = match unreadable.action {
                "refuse" => format!("is refused, with {refused}, as {} asks", unreadable.rules.join(", ")),
                _ => "is redacted whole".to_owned(),
            };
            page.text(2, &format!("A {part} that cannot be parsed {text}."))?;
        }
        Ok(())
    }
}

impl Rule {
    fn of(question: &Question<'_>, number: usize, rule: &MaskingRule, why_not: Option<WhyNot>) -> Rule {
        let applies = why_not.is_none();
        let (action, keeps) = words::action(&rule.action);
        Rule {
            rule: words::place(number),
            name: rule.name.clone(),
            applies,
            why_not,
            not_known: if applies { not_known(question, rule) } else { Vec::new() },
            fields: rule.fields.iter().map(ToString::to_string).collect(),
            detect: rule.detect.iter().map(words::detector).collect(),
            action,
            keeps,
            unparsable: unparsable_word(rule.unparsable),
            lifted_by: if applies { remedies(question, rule) } else { Vec::new() },
            told: Told { action: words::action_told(&rule.action), briefly: words::action_briefly(&rule.action) },
        }
    }

    fn named(&self) -> String {
        words::named(&self.rule, self.name.as_deref())
    }

    fn print(&self, question: &Question<'_>, page: &mut Page<'_, impl Write>) -> Result<(), CliError> {
        page.text(2, &self.named())?;
        if !self.fields.is_empty() {
            page.entry(4, "masks", &self.fields.join(", "))?;
        }
        if !self.detect.is_empty() {
            page.entry(4, "detects", &format!("{}, wherever in a value", self.detect.join(", ")))?;
        }
        page.entry(4, "action", &self.told.action)?;
        for NotKnown { what, about } in &self.not_known {
            let (what, about) = (what.replace('_', " "), about.join(", "));
            let unknown = format!("no {what} is given, and one that is not known counts as one that the rule is about");
            page.entry(4, "note", &format!("{unknown} ({about})"))?;
        }
        let label = if question.is_read() { "to see it clear" } else { "to send it clear" };
        let remedies: Vec<&str> = self.lifted_by.iter().map(|remedy| remedy.text.as_str()).collect();
        let text = match remedies.as_slice() {
            [] => "nobody can, the rule holds for everyone".to_owned(),
            remedies => remedies.join("; or "),
        };
        page.entry(4, label, &text)
    }
}

fn unparsable_word(of: Unparsable) -> &'static str {
    match of {
        Unparsable::Redact => "redact",
        Unparsable::Refuse => "refuse",
    }
}

/// A part of a record that is parsed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    Key,
}

impl Part {
    /// Whether a path is about it; if so, whether about something within it.
    fn within(self, path: &FieldPath) -> Option<bool> {
        match (self, path.target()) {
            (Part::Value, Target::Value(segments)) | (Part::Key, Target::Key(segments)) => Some(!segments.is_empty()),
            _ => None,
        }
    }

    /// Whether a rule is about it; if so, whether it looks within.
    fn looked_into(self, rule: &MaskingRule) -> Option<bool> {
        let detects = (self == Part::Value && !rule.detect.is_empty()).then_some(true);
        rule.fields.iter().filter_map(|path| self.within(path)).chain(detects).max()
    }
}

/// What becomes of a part of records that cannot be parsed: as strict as any rule asks that is about the part. None where
/// no rule looks within.
fn unreadable(applying: &[(usize, &MaskingRule)], part: Part) -> Option<Unreadable> {
    let of_part = || applying.iter().filter(|(_, rule)| part.looked_into(rule).is_some());
    let looks = of_part().any(|(_, rule)| part.looked_into(rule) == Some(true));
    let strictest = of_part().map(|(_, rule)| rule.unparsable).max().filter(|_| looks)?;
    let asking = of_part().filter(|(_, rule)| rule.unparsable == strictest);
    Some(Unreadable { action: unparsable_word(strictest), rules: asking.map(|(at, _)| words::place(*at)).collect() })
}

fn all(patterns: &Patterns) -> Vec<String> {
    patterns.iter().cloned().collect()
}

fn not_known(question: &Question<'_>, rule: &MaskingRule) -> Vec<NotKnown> {
    let client_id = question.client_id.is_none() && !rule.client_ids.is_everything();
    let group = question.is_read() && question.consumer_groups.is_empty() && !rule.consumer_groups.is_everything();
    let one = |is: bool, what, patterns| is.then(|| NotKnown { what, about: all(patterns) });
    let client_id = one(client_id, "client_id", &rule.client_ids);
    client_id.into_iter().chain(one(group, "consumer_group", &rule.consumer_groups)).collect()
}

/// Each of them alone lifts the rule.
fn remedies(question: &Question<'_>, rule: &MaskingRule) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let mut add = |by: &'static str, text: &str, names: Vec<String>| {
        if !names.is_empty() {
            let text = format!("{text}: {}", names.join(", "));
            remedies.push(Remedy { by, names, text });
        }
    };
    add("unless_groups", "be in one of", rule.unless_groups.clone());
    add("groups", "be in none of", rule.groups.clone());
    add("client_ids", "have a client id other than", all(&rule.client_ids));
    if question.is_read() {
        add("consumer_groups", "read for a consumer group other than", all(&rule.consumer_groups));
    }
    if !rule.listeners.is_empty() {
        let others = question
            .config
            .listeners
            .iter()
            .filter(|other| other.cluster == question.listener.cluster && !rule.listeners.contains(&other.name));
        add("listeners", "come through another listener", others.map(|other| other.name.clone()).collect());
    }
    remedies
}

/// Whether it holds on a listener of the cluster that is asked about.
fn serves_cluster(question: &Question<'_>, rule: &MaskingRule) -> bool {
    let mut listeners = question.config.listeners.iter().filter(|one| one.cluster == question.listener.cluster);
    rule.listeners.is_empty() || listeners.any(|listener| rule.listeners.contains(&listener.name))
}
