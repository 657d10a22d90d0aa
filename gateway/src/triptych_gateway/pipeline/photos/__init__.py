"""The phases that work through photos, shard by shard."""
