# A target with a name that is not there is refused with those that are; Snakemake alone says "No rule to produce".
for target in sys.argv[1:]:
    if not (IMPORTED or os.path.exists(target) or any(rule.is_producer(target) for rule in workflow.rules)):
        if problem := describe_target(target, EXPERIMENTS, LAYERS, CHECKPOINTS, replicates=SETTINGS.replicates):
            raise WorkflowError(problem)
