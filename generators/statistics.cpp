#include "strobe/generator.h"

/** Causal attention that also tells how spread the probabilities of each row are: the
 * greatest score, the entropy, and the variance of the values under the weights. */
class Statistics : public strobe::Attention<Statistics> {
public:
    Output<Buffer<float, 3>> row_max{"row_max"}, entropy{"entropy"};
    Output<Buffer<float, 4>> variance{"variance"};

    void define() {
        Func score("score"), greatest("greatest"), spread("spread"), squares("squares");
        score(j, i, h, b) = strobe::where(strobe::causal(i, j), strobe::scores(q, k)(j, i, h, b) * scale);
        strobe::Softmax p = strobe::softmax(score(j, i, h, b), keys());
        Halide::RDom all(0, keys(), "j");
        greatest(i, h, b) = -std::numeric_limits<float>::infinity();
        greatest(i, h, b) = max(greatest(i, h, b), score(all, i, h, b));
        Expr weight = p.weights(all, i, h, b);
        spread(i, h, b) += select(weight > 0.0f, weight * log(weight), 0.0f);
        Func mean = strobe::weighted_sum(p.weights, v, q);
        Expr value = Halide::cast<float>(v(d, all, strobe::grouped(h, q, v), b));
        squares(d, i, h, b) += weight * (value - mean(d, i, h, b)) * (value - mean(d, i, h, b));

        out(d, i, h, b) = stored(mean(d, i, h, b));
        lse(i, h, b) = p.lse(i, h, b);
        row_max(i, h, b) = greatest(i, h, b);
        entropy(i, h, b) = -spread(i, h, b);
        variance(d, i, h, b) = squares(d, i, h, b);
    }

    void generate() {
        Attention::generate();
        declare(row_max, 0);
        declare(entropy, 0);
        declare(variance, valued());
    }
};

HALIDE_REGISTER_GENERATOR(Statistics, statistics)
