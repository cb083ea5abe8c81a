// Nothing: a target that has precompiled headers needs a source.
