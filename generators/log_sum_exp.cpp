#include "strobe/generator.h"

/** Log-sum-exp attention: the smooth maximum of score plus value. */
class LogSumExp : public strobe::KeyValue<LogSumExp> {
public:
    void define() {
        Func score("score"), sum("sum");
        score(j, i, h, b) = strobe::where(strobe::causal(i, j), strobe::scores(q, k)(j, i, h, b) * scale);
        Halide::RDom all(0, keys(), "j");
        sum(d, i, h, b) += exp(score(all, i, h, b) + Halide::cast<float>(v(d, all, strobe::grouped(h, q, v), b)));
        out(d, i, h, b) = stored(log(sum(d, i, h, b)));
    }
};

HALIDE_REGISTER_GENERATOR(LogSumExp, log_sum_exp)
