#include "strobe/generator.h"

/** Everybody sees the first `prefix` keys; behind them, causal. */
class PrefixLm : public strobe::Attention<PrefixLm> {
public:
    Input<int32_t> prefix{"prefix", 256, 0, 1 << 30};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::prefix(i, j, prefix), s));
    }
};

HALIDE_REGISTER_GENERATOR(PrefixLm, prefix_lm)
