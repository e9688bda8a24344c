"""scripts/bench: what the mesh costs, each figure beside a peer of the same interleaved run."""
