"""A volume's tree and its content: nodes, patches, blocks, packs."""
