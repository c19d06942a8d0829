// The source that precompiled headers belong to.
