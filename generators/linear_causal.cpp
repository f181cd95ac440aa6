#include "strobe/generator.h"

/** Linear attention (arXiv:2006.16236) over the keys up to the query. */
class LinearCausal : public strobe::KeyValue<LinearCausal> {
public:
    static Expr feature(const Expr &x) {
        return select(x > 0.0f, x + 1.0f, exp(x));  // elu(x) + 1
    }

    void define() {
        Halide::RDom c(0, keyed(), "c"), all(0, keys(), "j");
        Func s("scores"), weight("weight"), total("total");
        s(j, i, h, b) += feature(Halide::cast<float>(q(c, i, h, b))) *
                         feature(Halide::cast<float>(k(c, j, strobe::grouped(h, q, k), b)));
        weight(j, i, h, b) = select(strobe::causal(i, j), s(j, i, h, b), 0.0f);
        total(i, h, b) += weight(all, i, h, b);
        sum_up(weight(j, i, h, b) / total(i, h, b));
    }
};

HALIDE_REGISTER_GENERATOR(LinearCausal, linear_causal)
