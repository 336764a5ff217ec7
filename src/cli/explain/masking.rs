//! Which masking rules apply, which do not and why, and what one would have to be to see it clear.

use std::io::Write;

use serde::Serialize;

use super::page::Page;
use super::{Question, words};
use crate::cli::error::CliError;
use crate::policy::{FieldPath, MaskNamed, MaskingRule, Patterns, Unparsable};

/// What there is to say; `docs/json.md` documents its fields.
#[derive(Serialize)]
pub(super) struct Section {
    rules: Vec<Rule>,
    decisions: Vec<Decision>,
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
    /// Whether something may be met that cannot be parsed.
    parses: bool,
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
        let applying = rules.on_topic(rules.of_client(question.direction, &client), Some(question.topic));
        let numbered = || rules.iter().enumerate();
        let rule = |(number, rule): (usize, &MaskingRule)| {
            let why_not = rule.why_not(question.direction, &client, Some(question.topic));
            let why_not = why_not.map(|why| WhyNot { reason: why.word(), text: words::exemption(&why, rule) });
            Rule::of(question, number, rule, why_not)
        };
        let all: Vec<&MaskingRule> = rules.iter().collect();
        let decision = |decided: crate::policy::MaskDecision<'_>| {
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
        Section {
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
        if !others.is_empty() {
            page.space()?;
            page.text(2, if others.len() == 1 { "This one does not apply:" } else { "These do not apply:" })?;
            for rule in others {
                let why = rule.why_not.as_ref().map_or("", |why| why.text.as_str());
                page.text(4, &format!("{}: {why}", rule.named()))?;
            }
        }
        if !self.topic_masked_by.is_empty() {
            page.space()?;
            let by = self.topic_masked_by.join(", ");
            let text = "What is produced to this topic is masked before a broker has it, by";
            page.text(
                2,
                &format!("{text} {by}: whom those rules hold for leaves nothing there that anybody could see."),
            )?;
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
            page.text(4, &format!("{}: {}, not {}", decision.names, briefly(&decision.rule), over.join(", ")))?;
        }
        Ok(())
    }
}

impl Rule {
    fn of(question: &Question<'_>, number: usize, rule: &MaskingRule, why_not: Option<WhyNot>) -> Rule {
        let applies = why_not.is_none();
        let (action, keeps) = words::action(&rule.action);
        let is_header = |path: &FieldPath| matches!(path.target(), crate::mask::Target::Header(_));
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
            unparsable: match rule.unparsable {
                Unparsable::Redact => "redact",
                Unparsable::Refuse => "refuse",
            },
            lifted_by: if applies { remedies(question, rule) } else { Vec::new() },
            told: Told {
                action: words::action_told(&rule.action),
                briefly: words::action_briefly(&rule.action),
                parses: !rule.detect.is_empty() || !rule.fields.iter().all(is_header),
            },
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
        if self.told.parses {
            let refused = if question.is_read() { "TOPIC_AUTHORIZATION_FAILED" } else { "POLICY_VIOLATION" };
            let text = match self.unparsable {
                "refuse" => format!("the partition is refused, with {refused}"),
                _ => "redacted whole".to_owned(),
            };
            page.entry(4, "unparsable", &text)?;
        }
        for NotKnown { what, about } in &self.not_known {
            let about = about.join(", ");
            page.entry(4, "note", &format!("the {what} is not known, which counts as one that it is about: {about}"))?;
        }
        let label = if question.is_read() { "to see it" } else { "to write it" };
        let remedies: Vec<&str> = self.lifted_by.iter().map(|remedy| remedy.text.as_str()).collect();
        let text = match remedies.as_slice() {
            [] => "nobody can: the rule holds for everyone".to_owned(),
            remedies => remedies.join("; or "),
        };
        page.entry(4, label, &text)
    }
}

fn all(patterns: &Patterns) -> Vec<String> {
    patterns.iter().cloned().collect()
}

fn not_known(question: &Question<'_>, rule: &MaskingRule) -> Vec<NotKnown> {
    let client_id = question.client_id.is_none() && !rule.client_ids.is_everything();
    let group = question.is_read() && question.consumer_groups.is_empty() && !rule.consumer_groups.is_everything();
    let one = |is: bool, what, patterns| is.then(|| NotKnown { what, about: all(patterns) });
    let client_id = one(client_id, "client id", &rule.client_ids);
    client_id.into_iter().chain(one(group, "consumer group", &rule.consumer_groups)).collect()
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
