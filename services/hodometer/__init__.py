"""Usage metrics: counts what a deployment holds and pushes the counts, anonymously, to receivers its owner chooses."""
