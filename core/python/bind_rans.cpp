#include "bind.hpp"

void bind_rans(nb::module_& m) { (void)m; }
