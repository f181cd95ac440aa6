#include "RandomAttention.h"

#include "strobe/attention.h"

namespace strobe::test {

using namespace Halide;

namespace {

const float infinity = std::numeric_limits<float>::infinity();

}  // namespace

/** Of a key tensor, that of the head's group. */
Expr RandomAttention::element(const ImageParam &t, const Expr &feature, const Expr &position) {
    const bool of_queries = t.name() == "q";
    return t(feature, position, of_queries ? Expr(h) : h / (q.dim(2).extent() / k.dim(2).extent()), b);
}

/** An element of q or k, perhaps computed from the tensor. */
Func RandomAttention::operand(const ImageParam &t) {
    Func f("operand");
    Var s("s");
    Expr x = element(t, d, s);
    switch (pick(8)) {
    case 0:  // a feature map
        f(d, s, h, b) = select(x > 0, x + 1.0f, exp(x));
        break;
    case 1: {  // a norm over the features
        Func squares("squares");
        RDom c(0, features);
        squares(s, h, b) += element(t, c, s) * element(t, c, s);
        f(d, s, h, b) = x / sqrt(squares(s, h, b) + 0.1f);
        break;
    }
    case 2: {  // positions
        Expr angle = cast<float>(s) * 0.1f;
        f(d, s, h, b) = x * cos(angle) + element(t, (d + 1) % features, s) * sin(angle);
        break;
    }
    default:
        f(d, s, h, b) = x;
    }
    return f;
}

Expr RandomAttention::score() {
    RDom c(0, features);
    Func a = operand(q), e = operand(k), dot("dot");
    if (pick(6) == 0) {  // distances
        dot(j, i, h, b) += -(a(c, i, h, b) - e(c, j, h, b)) * (a(c, i, h, b) - e(c, j, h, b));
    } else {
        dot(j, i, h, b) += a(c, i, h, b) * e(c, j, h, b);
    }
    Expr s = dot(j, i, h, b) * scale;
    for (int n = pick(3); n > 0; n--) {
        switch (pick(6)) {
        case 0:
            s = s + bias(j, i, h, b);
            break;
        case 1:
            s = s + slopes(h) * cast<float>(j - i) * 0.1f;
            break;
        case 2:
            s = 3.0f * tanh(s / 3.0f);
            break;
        case 3:
            s = s - 0.01f * cast<float>(abs(i - j));
            break;
        case 4:
            s = max(s, -0.5f);
            break;
        default:
            s = abs(s) - bias(j, i, h, b) * 0.5f;
        }
    }
    return s;
}

Expr RandomAttention::condition(int depth) {
    if (depth > 0 && pick(2)) {
        Expr x = condition(depth - 1), y = condition(depth - 1);
        switch (pick(3)) {
        case 0:
            return x && y;
        case 1:
            return x || y;
        default:
            return x && !y;
        }
    }
    switch (pick(12)) {
    case 0:
        return i - j <= window;
    case 1:
        return document(i, b) == document(j, b);
    case 2:
        return j < lengths(b);
    case 3:
        return (i - j) % 3 == 0;
    case 4:
        return i / 5 >= j / 5;
    case 5:
        return abs(i % 6 - j % 6) <= 2;
    case 6:
        return j != 4 || i == 2;
    case 7:
        return bias(j, i, h, b) > -0.7f;
    case 8:
        return i < lengths(b) || document(j, b) != 1;
    default:
        return j <= i;
    }
}

/** By -inf, or by a large finite number, below which a row of nothing else is an average. */
Expr RandomAttention::masked(const Expr &mask, const Expr &s) {
    switch (pick(8)) {
    case 0:
        return select(mask, s, std::numeric_limits<float>::lowest());
    case 1:
        return select(mask, s, -1e9f);
    case 2:
        return s + select(mask, 0.0f, -infinity);
    default:
        return where(mask, s);
    }
}

Func RandomAttention::row(const char *name, const Expr &body, ReduceOp op) {
    RDom all(0, keys());
    Func of("of"), f(name);
    of(j, i, h, b) = body;
    f(i, h, b) = identity_of(op, body.type());
    f(i, h, b) = combine(op, f(i, h, b), of(all, i, h, b));
    return f;
}

/** The sum up to the current key, or of the keys before it. */
Expr RandomAttention::running(const Expr &body) {
    RDom all(0, keys());
    Func of("of"), f("running");
    of(j, i, h, b) = body;
    f(j, i, h, b) += select(pick(2) ? all <= j : all < j, of(all, i, h, b), 0.0f);
    return f(j, i, h, b);
}

Expr RandomAttention::softmax_weight(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows) {
    const Expr kept = has_mask ? masked(mask, s) : s;
    const Softmax p = softmax(kept, keys(), pick(6) ? Expr() : Expr(slopes(h)));
    Expr w = p.weights(j, i, h, b);
    rows.push_back(p.lse(i, h, b));
    rows.push_back(row("squares", w * w)(i, h, b));
    const Expr mean = row("mean", select(w > 0, w * s, 0.0f))(i, h, b);
    rows.push_back(row("spread", select(w > 0, w * (s - mean) * (s - mean), 0.0f))(i, h, b));
    rows.push_back(row("entropy", select(w > 0, w * log(w), 0.0f))(i, h, b));
    rows.push_back(row("greatest", w, ReduceOp::Max)(i, h, b));
    rows.push_back(row("highest", kept, ReduceOp::Max)(i, h, b));
    return w;
}

/** Something of a row that is no sum of weights, mostly around an earlier result. */
void RandomAttention::add_statistic(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows) {
    const Expr live = has_mask ? mask : cast<bool>(true);
    const Expr mean = row("sum_of_scores", select(live, s, 0.0f))(i, h, b) / cast<float>(keys());
    switch (pick(7)) {
    case 0:
        rows.push_back(row("variance", select(live, (s - mean) * (s - mean), 0.0f))(i, h, b));
        break;
    case 1:
        rows.push_back(row("farthest", select(live, tanh(s - mean), -infinity), ReduceOp::Max)(i, h, b));
        break;
    case 2:
        rows.push_back(cast<float>(row("any", live && s > mean + 0.3f, ReduceOp::Or)(i, h, b)));
        rows.push_back(cast<float>(row("all", !live || s < mean + 0.6f, ReduceOp::And)(i, h, b)));
        break;
    case 3:
        rows.push_back(
            row("product", select(live, (1.0f + 0.1f * tanh(s)) * tanh(mean), 1.0f), ReduceOp::Product)(i, h, b));
        break;
    case 4:
        rows.push_back(row("nearest", select(live, 2.0f * (s - mean), infinity), ReduceOp::Min)(i, h, b));
        break;
    default: {  // the greatest, and what belongs to them
        const int count = 1 + pick(4);
        const Func best = greatest(where(live, s), bias(j, i, h, b), keys(), count);
        const Func around = greatest(where(live, 0.5f * s - mean), cast<float>(j), keys(), count);
        rows.push_back(best(i, h, b)[pick(2 * count)]);
        rows.push_back(around(i, h, b)[pick(2 * count)]);
    }
    }
}

/** A weight of each score, and what of a row may be told beside it. */
Expr RandomAttention::weight(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows) {
    if (pick(3) == 0) {
        add_statistic(s, mask, has_mask, rows);
    }
    const auto where0 = [&](const Expr &e) { return has_mask ? select(mask, e, 0.0f) : e; };
    switch (pick(9)) {
    case 0:
        return where0(1.0f / (1.0f + exp(-s)));
    case 1: {
        Expr w = where0(max(s, 0.0f));
        Func total = row("total", w);
        rows.push_back(total(i, h, b));
        return w / (total(i, h, b) + 0.5f);
    }
    case 2:
        rows.push_back(cast<float>(row("live", cast<int>(where0(s) > 0.1f))(i, h, b)));
        rows.push_back(row("lowest", has_mask ? select(mask, s, 5.0f) : s, ReduceOp::Min)(i, h, b));
        return where0(s * s);
    case 3: {  // an earlier result in the way
        Expr mean = row("sum", where0(s))(i, h, b) / cast<float>(keys());
        rows.push_back(row("above", where0(max(s - mean, 0.0f)))(i, h, b));
        return where0(max(s - mean, threshold(i, b)));
    }
    case 4:
        return where0(exp(-running(where0(abs(s))))) * s;
    default:
        return softmax_weight(s, mask, has_mask, rows);
    }
}

/** What the weights do to the values, and what is done to that. */
Expr RandomAttention::result(const Expr &weight) {
    Func weights("weights"), sum("sum");
    weights(j, i, h, b) = weight;
    RDom all(0, keys());
    Expr value = v(d, all, h / (q.dim(2).extent() / k.dim(2).extent()), b);
    if (pick(8) == 0) {  // no matrix product
        sum(d, i, h, b) = -infinity;
        sum(d, i, h, b) = max(sum(d, i, h, b), weights(all, i, h, b) + value);
    } else {
        sum(d, i, h, b) += weights(all, i, h, b) * value;
    }
    Expr result = sum(d, i, h, b);
    if (pick(8) == 0) {  // squares around it
        Func squares("squares");
        squares(d, i, h, b) += weights(all, i, h, b) * (value - sum(d, i, h, b)) * (value - sum(d, i, h, b));
        result = squares(d, i, h, b);
    }
    if (pick(3) == 0) {
        result = result / (1.0f + exp(-gate(d, i, h, b)));
    }
    if (pick(4) == 0) {
        RDom c(0, values);
        Func norm("norm");
        norm(i, h, b) += sum(c, i, h, b) * sum(c, i, h, b);
        result = result / sqrt(norm(i, h, b) + 0.1f);
    }
    return result;
}

void RandomAttention::add_inputs() {
    const std::vector<Argument> arguments = instance.pipeline.infer_arguments();
    const auto used = [&](const Parameter &p) {
        return std::any_of(arguments.begin(), arguments.end(), [&](const Argument &a) { return a.name == p.name(); });
    };
    for (const ImageParam &p : {q, k, v, bias, gate, slopes, threshold, document, lengths}) {
        if (used(p.parameter())) {
            instance.inputs.push_back(p.parameter());
        }
    }
    for (const Parameter &p : {scale.parameter(), window.parameter()}) {
        if (used(p)) {
            instance.inputs.push_back(p);
            problem.scalars[p.name()] = p.type().is_float() ? 0.3 : 7;
        }
    }
}

RandomAttention::RandomAttention(unsigned seed)
    : random(seed), q(Float(32), 4, "q"), k(Float(32), 4, "k"), v(Float(32), 4, "v"), bias(Float(32), 4, "bias"),
      gate(Float(32), 4, "gate"), slopes(Float(32), 1, "slopes"), threshold(Float(32), 2, "threshold"),
      document(Int(32), 2, "document"), lengths(Int(32), 1, "lengths") {
    features = 1 + pick(9);
    values = 1 + pick(11);
    q.dim(0).set_bounds(0, features);
    k.dim(0).set_bounds(0, features);
    v.dim(0).set_bounds(0, values);
    gate.dim(0).set_bounds(0, values);
    const bool has_mask = pick(4) != 0;
    const Expr mask = condition(2), s = score();
    std::vector<Expr> rows;
    Expr w = weight(s, mask, has_mask, rows);
    if (pick(4) == 0) {
        Expr t = score();
        w = w - 0.5f * weight(t, mask, pick(2), rows);
    }
    Func out("out");
    out(d, i, h, b) = result(w);
    out.output_buffer().dim(0).set_bounds(0, values);
    instance.outputs = {out};
    if (!rows.empty() && pick(2)) {
        Func extra("extra");
        extra(i, h, b) = rows[pick(int(rows.size()))];
        instance.outputs.push_back(extra);
    }
    instance.name = "random";
    instance.pipeline = Pipeline(instance.outputs);
    add_inputs();
    problem.batch = 1 + pick(2);
    problem.heads = problem.kv_heads = 1 + pick(2);
    problem.kv_heads = pick(3) ? problem.heads : 1;
    problem.queries = 1 + pick(40);
    problem.keys = 1 + pick(50);
    problem.seed = seed;
    bind_inputs(instance, problem);
    const int tiles[] = {8, 16, 32};
    schedule = "tile(i, " + std::to_string(tiles[pick(3)]) + ")\nstream(j, " + std::to_string(tiles[pick(3)]) + ")";
}

}  // namespace strobe::test
