#include "bench/choice.hpp"

#include <string>
#include <vector>

#include "bench/launches.hpp"
#include "cost/choose.hpp"
#include "mpi/agreement.hpp"
#include "schedule/strategy.hpp"

namespace ep::bench {

namespace {

measure::Choice weigh(const Job& job, const cost::Machine& machine) {
  std::vector<schedule::Schedule> schedules;
  for (const std::string& name : schedule::every_strategy(job.config.gradients()))
    schedules.push_back(build_schedule(job, name));
  measure::Choice choice;
  for (const cost::Candidate& candidate : cost::rank_schedules(schedules, machine)) {
    choice.candidates.push_back({schedules[candidate.schedule].strategy, candidate.total_us, candidate.compute_us});
  }
  choice.strategy = choice.candidates.front().strategy;
  return choice;
}

}  // namespace

schedule::Schedule build_schedule(const Job& job, const std::string& strategy) {
  const schedule::Strategy parsed = schedule::parse_strategy(strategy);
  plan::Plan plan = plan::make_plan(job.routing, job.placement, job.topology, parsed.chunks);
  plan.counts_known = job.config.counts_known;
  return schedule::build(parsed, plan, job.config.shape, job.config.direction);
}

measure::Choice choose_strategy(const Job& job, const cost::Machine& machine, const mpi::Communicator& communicator) {
  measure::Choice choice;
  choice.strategy = mpi::collectively(communicator, [&] {
    choice = first_launch_choice().value_or(measure::Choice{});
    if (choice.strategy.empty()) choice = weigh(job, machine);
    return choice.strategy;
  });
  return choice;
}

}  // namespace ep::bench
