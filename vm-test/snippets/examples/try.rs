fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().collect();
    let (source, modules) = (args.remove(1), args.remove(1));
    let trials = snippets::trials(source.as_ref(), modules.as_ref())?;
    libtest_mimic::run(&libtest_mimic::Arguments::from_iter(args), trials).exit()
}
