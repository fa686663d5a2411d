#include "bind.hpp"

void bind_graphics(nb::module_& m) { (void)m; }
