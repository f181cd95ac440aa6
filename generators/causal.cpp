#include "strobe/generator.h"

/** Every query sees the keys up to its own position. */
class Causal : public strobe::Attention<Causal> {
public:
    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::causal(i, j), s));
    }
};

HALIDE_REGISTER_GENERATOR(Causal, causal)
