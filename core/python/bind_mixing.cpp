#include "bind.hpp"

void bind_mixing(nb::module_& m) { (void)m; }
