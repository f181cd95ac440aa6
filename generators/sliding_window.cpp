#include "strobe/generator.h"

/** Causal, and no key more than `window` positions back. */
class SlidingWindow : public strobe::Attention<SlidingWindow> {
public:
    Input<int32_t> window{"window", 256, 0, 1 << 30};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::sliding_window(i, j, window), s));
    }
};

HALIDE_REGISTER_GENERATOR(SlidingWindow, sliding_window)
