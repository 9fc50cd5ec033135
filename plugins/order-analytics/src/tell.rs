//! What a window says: its groups, the best of them, and which limits have been crossed.

use std::borrow::Cow;

use sangam_sdk::*;

use crate::alert::{Of, Rule, broken};
use crate::group::{Group, Sold};
use crate::money::amount;
use crate::record::Record;
use crate::settings::{Role, Settings};
use crate::{OrderAnalytics, Out};

/// What is said of one window at one time.
struct Saying<'s> {
    window: Window,
    closed: bool,
    settings: &'s Settings,
    ctx: &'s Context<'s>,
}

impl OrderAnalytics {
    /// All that there is to say: groups, then alerts, then the top.
    pub(crate) fn tell(&mut self, window: Window, closed: bool, settings: &Settings, ctx: &Context) -> Vec<Out> {
        let saying = Saying { window, closed, settings, ctx };
        let mut out = Vec::new();
        let mut groups: Vec<&mut Group> = self.groups.iter_mut().collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        for group in &mut groups {
            let tells = if settings.role == Role::Groups { closed || group.sold != group.told } else { closed };
            if tells {
                out.push(saying.group(group));
                group.told = group.sold.clone();
            }
        }
        for group in groups {
            for rule in broken(&settings.rules, Of::Group, &group.sold, &mut group.alerted) {
                out.push(saying.alert(rule, Some(group), &group.sold));
            }
        }
        if settings.role != Role::Groups {
            let sold = self.all();
            for rule in broken(&settings.rules, Of::Window, &sold, &mut self.alerted) {
                out.push(saying.alert(rule, None, &sold));
            }
            out.push(saying.top(&settings.top.best(self.groups.iter().chain(self.best.rows())), &sold));
        }
        out
    }

    /// What all groups have sold.
    fn all(&self) -> Sold {
        let mut all = self.sold.clone();
        self.groups.iter().for_each(|group| all.add(group.sold.orders, group.sold.cents));
        all
    }
}

impl Saying<'_> {
    fn group(&self, group: &Group) -> Out {
        let name = self.name(group);
        let revenue = amount(group.sold.cents);
        let mut record = self.start();
        if self.settings.role == Role::Groups {
            record = record.with("closed", self.closed);
        }
        record = self.named(record, &name).with("orders", group.sold.orders).with("revenue", revenue);
        record = record.with("average", revenue / group.sold.orders as f64);
        if self.settings.role == Role::Groups {
            let added = group.sold.since(&group.told);
            record = record.with("orders_added", added.orders).with("revenue_added", amount(added.cents));
        }
        for (field, each) in &self.settings.estimates {
            record = record.with(field, each * group.sold.orders as f64);
        }
        Out::Groups(self.output(record).key(name.join("/")))
    }

    fn top(&self, best: &[&Group], sold: &Sold) -> Out {
        let seller = |group: &&Group| {
            let record = self.named(Record::default(), &self.name(group));
            record.with("orders", group.sold.orders).with("revenue", amount(group.sold.cents))
        };
        let record = self.start().with("closed", self.closed);
        let record = record.with("orders", sold.orders).with("revenue", amount(sold.cents));
        Out::Top(self.output(record.with_all("groups", best.iter().map(seller))))
    }

    fn alert(&self, rule: &Rule, group: Option<&Group>, sold: &Sold) -> Out {
        let mut record = Record::default().with("alert", &rule.name);
        record = record.with("window_start", self.window.start).with("window_end", self.window.end);
        let name = group.map(|group| self.name(group));
        record = self.named(record, name.as_deref().unwrap_or_default());
        let output = self.output(record.with("orders", sold.orders).with("revenue", amount(sold.cents)));
        Out::Alerts(if let Some(name) = name { output.key(name.join("/")) } else { output })
    }

    fn start(&self) -> Record {
        Record::default().with("window_start", self.window.start).with("window_end", self.window.end)
    }

    fn named(&self, record: Record, name: &[Cow<'_, str>]) -> Record {
        self.settings.names.iter().zip(name).fold(record, |record, (field, part)| record.with(field, &**part))
    }

    /// The group's name, which with the role `groups` is the key.
    fn name<'g>(&'g self, group: &'g Group) -> Vec<Cow<'g, str>> {
        match (self.settings.role, self.settings.names.len()) {
            (Role::Groups, 1) => vec![self.ctx.key().into()],
            (Role::Groups, parts) => (0..parts).map(|i| self.ctx.key_part(i).unwrap_or_default().into()).collect(),
            _ => group.name.iter().map(Into::into).collect(),
        }
    }

    /// News of a window that is open have the time at which they are told, its last word has the window's.
    fn output(&self, record: Record) -> Output<Record> {
        let output = Output::new(record);
        if self.closed { output } else { output.at(self.ctx.time()) }
    }
}
