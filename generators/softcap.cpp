#include "strobe/generator.h"

/** Scores are capped by a tanh before the softmax. */
class Softcap : public strobe::Attention<Softcap> {
public:
    // The bound keeps exp(2 * cap) within float32, so that no running maximum is needed.
    Input<float> cap{"cap", 30.0f, 1e-3f, 40.0f};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::softcap(s, cap));
    }
};

HALIDE_REGISTER_GENERATOR(Softcap, softcap)
