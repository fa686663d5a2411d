#include "bind.hpp"

void bind_range(nb::module_& m) { (void)m; }
