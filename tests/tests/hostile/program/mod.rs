pub(crate) const LISTS: &[&[crate::attack::Attack<crate::primary::Primary>]] = &[];
pub(crate) async fn fetch(_: &mut kwik_client::Session) -> anyhow::Result<()> { Ok(()) }
