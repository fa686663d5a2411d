// The binding of narrows_core. Bindings convert, check and release the GIL; they hold no logic.
#include "bind.hpp"

NB_MODULE(_core, m) {
    // Libraries that keep Python objects beyond its end (torch does) are no leak of ours to report at exit.
    nb::set_leak_warnings(false);
    m.doc() = "Compiled core of Narrows. Private: use narrows.entropy and the codecs.";
    bind_basics(m);
    bind_rans(m);
    bind_device(m);
    bind_range(m);
    bind_compressai(m);
    bind_intervals(m);
    bind_png(m);
    bind_mixing(m);
    bind_graphics(m);
    bind_wave(m);
    bind_models(m);
    bind_stack(m);
    bind_audio(m);
}
