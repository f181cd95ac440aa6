#include "WorkloadBuilder.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool is_tensor_load(const Call *op) {
    return op->call_type == Call::Image;
}

Expr without_casts(Expr e) {
    while (const Cast *c = e.as<Cast>()) {
        e = c->value;
    }
    return e;
}

}  // namespace

void factors_of(const Expr &e, std::vector<Expr> &factors) {
    Expr inner = without_casts(e);
    const Div *div = inner.as<Div>();
    if (const Mul *mul = inner.as<Mul>()) {
        factors_of(mul->a, factors);
        factors_of(mul->b, factors);
    } else if (div && div->type.is_float() && !is_const_one(div->a)) {
        factors_of(div->a, factors);
        factors.push_back(make_one(div->type) / div->b);
    } else {
        factors.push_back(inner);
    }
}

Operand WorkloadBuilder::operand_of(const Call *load) {
    Operand o;
    o.input = load->name;
    o.load = Expr(load);
    o.type = load->type;
    o.width = 1;
    std::set<std::string> axes;
    for (const Expr &index : load->args) {
        for (const std::string &a : axes_of(graph, index)) {
            axes.insert(a);
        }
    }
    for (const std::string &a : axes) {
        o.by_query |= a == plan.roles.query;
        o.by_stream |= a == plan.roles.stream;
        if (is_row_axis(a)) {
            continue;
        }
        std::optional<int64_t> size = known_size(graph, a, work.sizes);
        o.width = o.width && size ? std::optional<int64_t>(*o.width * *size) : std::nullopt;
    }
    return o;
}

std::vector<Operand> WorkloadBuilder::operands_in(const Expr &body, const std::vector<std::string> &axes,
                                                  size_t expected, bool &matrix) {
    std::vector<Operand> operands;
    for (const Call *load : Uses(body).loads) {
        std::vector<std::string> used = axes_of(graph, Expr(load));
        if (std::any_of(used.begin(), used.end(), [&](const std::string &a) { return contains(axes, a); })) {
            operands.push_back(operand_of(load));
        }
    }
    std::vector<Expr> factors;
    factors_of(body, factors);
    size_t bare = std::count_if(factors.begin(), factors.end(), [&](const Expr &f) {
        std::vector<std::string> used = axes_of(graph, f);
        return f.as<Call>() && is_tensor_load(f.as<Call>()) &&
               std::any_of(used.begin(), used.end(), [&](const std::string &a) { return contains(axes, a); });
    });
    matrix = bare == expected && operands.size() == expected;
    return operands;
}

Operand WorkloadBuilder::computed_operand(const std::vector<Expr> &factors, const std::string &axis,
                                          const std::string &feature) {
    Operand o;
    o.type = Type();
    o.computed = factors.size() > 1 || !factors[0].as<Call>();
    o.by_query = axis == plan.roles.query;
    o.by_stream = axis == plan.roles.stream;
    for (const Expr &f : factors) {
        o.load = o.load.defined() ? o.load * f : f;
        for (const Call *load : Uses(f).loads) {
            const std::vector<std::string> used = axes_of(graph, Expr(load));
            const bool narrow = load->type.is_float() && load->type.bits() == 16;
            if (narrow && contains(used, axis) && contains(used, feature)) {
                o.type = load->type;
                o.input = load->name;
            }
        }
    }
    o.width = known_size(graph, feature, work.sizes);
    return o;
}

void WorkloadBuilder::use_computed_operands(const Reduction &r, Contraction &c) {
    std::vector<Expr> factors, rows, columns;
    factors_of(r.body, factors);
    for (const Expr &f : factors) {
        const std::vector<std::string> used = axes_of(graph, f);
        const bool by_stream = contains(used, plan.roles.stream);
        if (by_stream && contains(used, plan.roles.query)) {
            return;
        }
        (by_stream ? columns : rows).push_back(f);
    }
    if (rows.empty() || columns.empty()) {
        return;
    }
    const Operand a = computed_operand(rows, plan.roles.query, r.over[0]);
    const Operand b = computed_operand(columns, plan.roles.stream, r.over[0]);
    if (a.type == b.type && a.type.is_float() && a.type.bits() == 16) {
        c.operands = {a, b};
        c.matrix = true;
    }
}

void WorkloadBuilder::add_inner(const Reduction &r) {
    Contraction c;
    c.func = r.name;
    c.names = {r.name};
    c.scores = contains(r.axes, plan.roles.stream) && contains(r.axes, plan.roles.query);
    c.result = r.type;
    c.size = 1;
    for (const std::string &a : r.over) {
        std::optional<int64_t> size = known_size(graph, a, work.sizes);
        c.size = c.size && size ? std::optional<int64_t>(*c.size * *size) : std::nullopt;
    }
    c.operands = operands_in(r.body, r.over, 2, c.matrix);
    c.matrix = c.matrix && c.scores && r.op == ReduceOp::Sum && c.operands[0].by_query != c.operands[1].by_query;
    if (!c.matrix && c.scores && r.op == ReduceOp::Sum && r.over.size() == 1) {
        use_computed_operands(r, c);
    }
    work.contractions.push_back(c);
}

std::vector<std::string> WorkloadBuilder::names_of(const Moment &m) const {
    std::vector<std::string> names;
    const std::set<std::string> axes(m.axes.begin(), m.axes.end());
    for (const Reduction &r : graph.reductions) {
        if (contains(r.over, plan.roles.stream) && std::set<std::string>(r.axes.begin(), r.axes.end()) == axes) {
            names.push_back(r.name);
        }
    }
    for (const Output &o : plan.outputs) {
        if (Uses(o.value).variables.count(m.name)) {
            names.push_back(o.name);
        }
    }
    return names;
}

void WorkloadBuilder::add_moment(const Pass &pass, const Moment &m, PassWorkload &p, std::vector<Expr> &weights) {
    std::vector<std::string> features;
    for (const std::string &a : m.axes) {
        if (!is_row_axis(a)) {
            features.push_back(a);
        }
    }
    if (features.empty()) {
        p.row_moments++;
        return;
    }
    Contraction c;
    c.names = names_of(m);
    c.func = c.names.empty() ? m.name : c.names[0];
    c.result = m.type;
    c.size = 1;
    for (const std::string &a : features) {
        std::optional<int64_t> size = known_size(graph, a, work.sizes);
        c.size = c.size && size ? std::optional<int64_t>(*c.size * *size) : std::nullopt;
    }
    Expr factor = m.factor.defined() ? m.factor : make_one(m.type);
    if (m.around.value.defined()) {
        factor = factor * m.around.value;
        c.matrix = false;
    }
    c.operands = operands_in(factor, features, 1, c.matrix);
    c.matrix &= m.op == ReduceOp::Sum;
    p.contractions.push_back((int)work.contractions.size());
    work.contractions.push_back(c);

    // The weights: what multiplies the operand. Equal ones are computed and kept once.
    Expr weight = m.pivot >= 0 ? Variable::make(Float(32), pass.pivots[m.pivot].name) : make_one(Float(32));
    std::vector<Expr> factors;
    factors_of(factor, factors);
    for (const Expr &f : factors) {
        std::vector<std::string> used = axes_of(graph, f);
        if (std::none_of(features.begin(), features.end(),
                         [&](const std::string &a) { return contains(used, a); })) {
            weight = weight * cast(weight.type(), f);
        }
    }
    if (std::none_of(weights.begin(), weights.end(), [&](const Expr &w) { return graph_equal(w, weight); })) {
        weights.push_back(weight);
        p.weight_tiles++;
    }
}

}  // namespace strobe
