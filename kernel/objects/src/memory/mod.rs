//! Memory objects: vmos, and the regions of an address space.
