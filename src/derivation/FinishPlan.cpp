#include "FinishPlan.h"

#include "Expressions.h"
#include "PivotPolicy.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

using Names = std::set<std::string>;

class Finisher {
    const Draft &draft;
    const ReductionGraph &graph;
    Plan plan;
    std::map<std::string, Expr> renamed;  // moments and pivots

    void add_readouts();
    Names needed() const;
    void add_needs(const Expr &e, Names &names) const;
    void drop_unused_selections(Pass &pass);
    void drop_unused(const Names &needs);
    void rename();
    Expr with_names(const Expr &e) const {
        return e.defined() ? substitute(renamed, e) : e;
    }
    void set_policies();
    void set_masks();
    Expr pass_guard(const Pass &pass) const;
    void add_facts();
    void add_reduction_facts(const Reduction &r, const Derived &derived);

public:
    explicit Finisher(const Draft &draft) : draft(draft), graph(draft.graph), plan(draft.plan) {
    }
    Plan finish();
};

/** The variables of \p e, and of the reductions evaluated in a tile that it refers to. */
void Finisher::add_needs(const Expr &e, Names &names) const {
    for (const std::string &name : variables(e)) {
        if (!names.insert(name).second) {
            continue;
        }
        const auto after = std::find_if(plan.after.begin(), plan.after.end(),
                                        [&](const Reduction &r) { return name == "%" + r.name; });
        if (after != plan.after.end()) {
            add_needs(after->body, names);
            add_needs(after->init, names);
            continue;
        }
        if (const Reduction *r = graph.referred(Variable::make(Int(32), name)); r && !draft.derived.count(r->name)) {
            add_needs(r->body, names);
        }
    }
}

/** Names of all moments, pivots and readouts that lead to an output. */
Names Finisher::needed() const {
    Names names;
    for (const Output &o : plan.outputs) {
        add_needs(o.value, names);
    }
    for (size_t before = 0; before != names.size();) {
        before = names.size();
        for (const Pass &pass : plan.passes) {
            for (const Moment &m : pass.moments) {
                if (names.count(m.name)) {
                    add_needs(m.guard, names);
                    add_needs(m.factor, names);
                    if (m.around.value.defined()) {
                        add_needs(m.around.value, names);
                        names.insert({m.around.weight, m.around.weighted});
                        if (m.degree > 1) {
                            names.insert(m.around.first);
                        }
                    } else if (m.degree > 0) {
                        const auto lower = std::find_if(pass.moments.begin(), pass.moments.end(), [&](const Moment &o) {
                            return o.degree == 0 && o.op == m.op && o.type == m.type && o.pivot == m.pivot &&
                                   same(o.guard, m.guard) && same(o.factor, m.factor);
                        });
                        names.insert(lower->name);
                    }
                    if (m.selection >= 0) {
                        names.insert(pass.selections[m.selection].name);
                    }
                    if (m.pivot >= 0) {
                        add_needs(pass.pivots[m.pivot].ref(), names);
                        add_needs(pass.pivots[m.pivot].exponent, names);
                    }
                }
            }
            for (const Readout &r : pass.readouts) {
                if (names.count(r.name)) {
                    add_needs(r.value, names);
                }
            }
        }
    }
    return names;
}

void Finisher::add_readouts() {
    for (const Reduction &r : graph.reductions) {
        auto it = draft.derived.find(r.name);
        if (it != draft.derived.end()) {
            plan.passes[it->second.pass].readouts.push_back(
                {"%" + r.name, r.axes, materialised(it->second.value, r.type)});
        }
    }
}

/** Keeps as many ranks as are used. */
void Finisher::drop_unused_selections(Pass &pass) {
    std::vector<Selection> kept;
    std::vector<int> index(pass.selections.size(), -1);
    for (Selection &s : pass.selections) {
        s.count = 0;
    }
    for (Moment &m : pass.moments) {
        if (m.selection < 0) {
            continue;
        }
        if (index[m.selection] < 0) {
            index[m.selection] = int(kept.size());
            kept.push_back(pass.selections[m.selection]);
        }
        m.selection = index[m.selection];
        kept[m.selection].count = std::max(kept[m.selection].count, m.rank + 1);
    }
    pass.selections = kept;
}

void Finisher::drop_unused(const Names &needs) {
    const auto unused = [&](const auto &x) { return !needs.count(x.name); };
    for (Pass &pass : plan.passes) {
        pass.moments.erase(std::remove_if(pass.moments.begin(), pass.moments.end(), unused), pass.moments.end());
        pass.readouts.erase(std::remove_if(pass.readouts.begin(), pass.readouts.end(), unused), pass.readouts.end());
        std::vector<Pivot> kept;
        std::vector<int> index(pass.pivots.size(), -1);
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            if (needs.count(pass.pivots[i].name)) {
                index[i] = int(kept.size());
                kept.push_back(pass.pivots[i]);
            }
        }
        pass.pivots = kept;
        for (Moment &m : pass.moments) {
            m.pivot = m.pivot >= 0 ? index[m.pivot] : -1;
        }
        drop_unused_selections(pass);
    }
    const auto idle = [](const Pass &pass) { return pass.moments.empty() && pass.readouts.empty(); };
    plan.passes.erase(std::remove_if(plan.passes.begin(), plan.passes.end(), idle), plan.passes.end());
    const auto unused_inner = [&](const std::string &name) { return !needs.count("%" + name); };
    plan.inner.erase(std::remove_if(plan.inner.begin(), plan.inner.end(), unused_inner), plan.inner.end());
}

void Finisher::rename() {
    int pivots = 0, moments = 0, selections = 0;
    // Of those that move together, the higher degree first: it needs the others as they were. Those
    // around a mean come behind what the mean is made of.
    for (Pass &pass : plan.passes) {
        std::stable_sort(pass.moments.begin(), pass.moments.end(), [](const Moment &x, const Moment &y) {
            const bool x_around = x.around.value.defined(), y_around = y.around.value.defined();
            return x_around != y_around ? y_around : x.degree > y.degree;
        });
    }
    for (Pass &pass : plan.passes) {
        for (Pivot &p : pass.pivots) {
            const Expr old = p.ref();
            const std::string name = p.name;
            p.name = "%p" + std::to_string(pivots++);
            renamed[name] = p.ref();
        }
        for (Selection &s : pass.selections) {
            s.name = "%s" + std::to_string(selections++);
        }
        for (Moment &m : pass.moments) {
            const std::string name = m.name;
            m.name = "%m" + std::to_string(moments++);
            renamed[name] = m.ref();
        }
    }
    for (Pass &pass : plan.passes) {
        for (Moment &m : pass.moments) {
            for (std::string *name : {&m.around.weight, &m.around.weighted, &m.around.first}) {
                auto it = renamed.find(*name);
                *name = it != renamed.end() ? it->second.as<Variable>()->name : "";
            }
        }
        for (Readout &r : pass.readouts) {
            r.value = with_names(r.value);
        }
    }
    for (Reduction &r : plan.after) {
        r.body = with_names(r.body);
        r.init = with_names(r.init);
    }
    for (Output &o : plan.outputs) {
        o.value = with_names(o.value);
    }
}

void Finisher::set_policies() {
    for (Pass &pass : plan.passes) {
        for (size_t i = 0; i < pass.pivots.size(); i++) {
            choose_policy(pass.pivots[i], span_of(pass.moments, int(i)));
        }
    }
}

/** The part of the moments' guards that can be asked of a whole tile. */
Expr Finisher::pass_guard(const Pass &pass) const {
    Expr any;
    std::vector<Expr> seen;
    for (const Moment &m : pass.moments) {
        std::vector<Expr> kept;
        for (const Expr &c : conjuncts(m.guard)) {
            const Names names = variables(c);
            const std::vector<std::string> axes = axes_of(graph, c);
            const bool of_rows = std::none_of(axes.begin(), axes.end(), [&](const std::string &a) {
                return std::count(plan.roles.features.begin(), plan.roles.features.end(), a) > 0;
            });
            const bool of_axes =
                std::none_of(names.begin(), names.end(), [](const std::string &n) { return n[0] == '%'; });
            if (of_rows && of_axes) {
                kept.push_back(c);
            }
        }
        const Expr guard = all_of(kept);
        if (!guard.defined()) {
            return Expr();
        }
        if (std::none_of(seen.begin(), seen.end(), [&](const Expr &g) { return same(g, guard); })) {
            seen.push_back(guard);
            any = any.defined() ? any || guard : guard;
        }
    }
    return any;
}

void Finisher::set_masks() {
    for (Pass &pass : plan.passes) {
        if (const Expr guard = pass_guard(pass); guard.defined()) {
            pass.mask = bound_mask(graph, plan.roles, guard);
            plan.facts.push_back({plan.roles.stream, "mask", pass.mask.text});
        }
    }
}

void Finisher::add_reduction_facts(const Reduction &r, const Derived &derived) {
    const std::string stream = plan.roles.stream;
    for (const std::string &note : derived.notes) {
        plan.facts.push_back({r.name, "rounding", note});
    }
    bool used = false;
    for (const Term &term : derived.value) {
        for (const std::string &name : variables(materialised({term}, r.type))) {
            used = used || renamed.count(name);
        }
    }
    if (!used) {
        plan.facts.push_back({r.name, "dropped", "it cancels from every output, so it is not computed"});
        return;
    }
    plan.facts.insert(plan.facts.end(), derived.facts.begin(), derived.facts.end());
    if (!derived.facts.empty()) {
        return;
    }
    for (size_t i = 0; i < derived.explained.size(); i++) {
        const Term &term = derived.explained[i];
        std::string kept = term.factor.defined() ? text_of(term.factor) : "";
        if (term.power.defined()) {
            kept += (kept.empty() ? "exp(" : " * exp(") + text_of(term.power) + ")";
        }
        kept = kept.empty() ? "1" : kept;
        if (!term.guard.empty()) {
            kept += " where " + text_of(all_of(term.guard));
        }
        plan.facts.push_back(
            {r.name, "online",
             std::string(name_of(r.op)) + " over " + stream + " of " + kept +
                 (term.power.defined() ? ", kept relative to a pivot: exp(x - p) = exp(x - p') * exp(p' - p), "
                                         "and the last factor is free of " +
                                             stream
                                       : ", which needs no rescaling")});
        Term factor;
        factor.coefficient = term.coefficient;
        factor.scale = term.scale;
        const Expr hoisted = materialised({factor}, r.type);
        if (!is_one(hoisted)) {
            plan.facts.push_back(
                {r.name, "hoisted", text_of(hoisted) + " is free of " + stream + " and multiplies the finished sum"});
        }
    }
    if (derived.explained.empty()) {
        plan.facts.push_back(
            {r.name, "online",
             std::string("a ") + name_of(r.op) + " over " + stream + " merges by itself: it needs no rescaling"});
    }
}

void Finisher::add_facts() {
    const std::vector<Fact> barriers_and_masks = plan.facts;
    plan.facts.clear();
    for (const std::string &name : plan.inner) {
        const Reduction &r = graph.reduction(name);
        std::string over;
        for (const std::string &a : r.over) {
            over += (over.empty() ? "" : ", ") + a;
        }
        plan.facts.push_back(
            {name, "inner",
             std::string("evaluated inside a tile: a ") + name_of(r.op) + " over " + over + " of " + text_of(r.body)});
    }
    for (const Reduction &r : plan.after) {
        plan.facts.push_back({r.name, "after",
                              std::string("a ") + name_of(r.op) + " over " + r.over[0] + " of " + text_of(r.body) +
                                  ", of finished results: once a block of rows, after the walk"});
    }
    for (const Reduction &r : graph.reductions) {
        auto it = draft.derived.find(r.name);
        if (it != draft.derived.end()) {
            add_reduction_facts(r, it->second);
        }
    }
    for (const Pass &pass : plan.passes) {
        for (const Pivot &p : pass.pivots) {
            const std::string policy = p.policy == Pivot::Policy::Constant ? "constant" : "running maximum";
            plan.facts.push_back({p.name.substr(1), "pivot", policy + " of " + text_of(p.exponent) + ": " + p.reason});
        }
    }
    plan.facts.insert(plan.facts.end(), barriers_and_masks.begin(), barriers_and_masks.end());
}

Plan Finisher::finish() {
    add_readouts();
    // A readout is needed by what a later pass computes; outputs use moments themselves.
    drop_unused(needed());
    rename();
    set_policies();
    set_masks();
    add_facts();
    return plan;
}

}  // namespace

Plan finish_plan(const Draft &draft) {
    return Finisher(draft).finish();
}

}  // namespace strobe
