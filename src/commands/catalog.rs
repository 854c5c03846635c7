//! `catalog`: the types that are built in, on stdout. Nothing is read, and nobody is asked.

use super::{Exit, print};
use crate::cli::CatalogCommand;
use crate::config::{catalog, catalog_text};

pub(super) fn catalog(command: Option<CatalogCommand>) -> Exit {
    match command.unwrap_or(CatalogCommand::List { markdown: false }) {
        CatalogCommand::List { markdown: false } => print(catalog_text::list().trim_end()),
        CatalogCommand::List { markdown: true } => print(catalog_text::page().trim_end()),
        CatalogCommand::Show { type_name } => {
            let named = catalog::named_types().find(|named| named.name == type_name);
            named.into_iter().for_each(|named| print(&catalog_text::show(named)));
        }
    }
    Exit::Clean
}
