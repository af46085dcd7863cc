"""The canary: a small topology on which `conform` tries every fault. Its compose file and image are data of the package."""
