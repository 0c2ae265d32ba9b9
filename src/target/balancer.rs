//! The balancer's choices: which pod, and who counts as healthy. Pure.

use std::time::Duration;

use super::config::{Balancer as BalancerConfig, Sticky};

/// Chooses pods, numbered from 0.
#[derive(Clone, Debug)]
pub struct Balancer {
    sticky: Sticky,
    idle_timeout: Duration,
    /// In force while a planted fault lasts.
    planted_timeout: Option<Duration>,
    /// Likewise: streams end at this age.
    planted_age: Option<Duration>,
    healthy: Vec<bool>,
    turn: usize,
}

impl Balancer {
    /// All pods count as healthy until something says otherwise.
    pub fn new(config: &BalancerConfig, pods: u32) -> Self {
        Self {
            sticky: config.sticky,
            idle_timeout: config.idle_timeout,
            planted_timeout: None,
            planted_age: None,
            healthy: vec![true; pods as usize],
            turn: 0,
        }
    }

    /// The pod for a request: the one it sticks to while that is healthy, else the next healthy one in turn;
    /// `None`: no pod is up. `cookie` is the pod that the client's cookie names, `token` a hash of its token.
    pub fn choose(&mut self, cookie: Option<u32>, token: Option<u64>) -> Option<u32> {
        let up = self.healthy.iter().filter(|&&healthy| healthy).count();
        if up == 0 {
            return None;
        }
        match self.sticky {
            Sticky::Cookie => cookie.filter(|&pod| self.is_healthy(pod)).or_else(|| self.in_turn()),
            // Over the healthy pods only: a dead pod's clients spread over the others, and come back with it.
            Sticky::Token => match token {
                Some(hash) => {
                    let preferred = (hash % self.healthy.len() as u64) as u32;
                    if self.is_healthy(preferred) {
                        return Some(preferred);
                    }
                    self.nth_healthy((hash / self.healthy.len() as u64) as usize % up)
                }
                None => self.in_turn(),
            },
            Sticky::None => self.in_turn(),
        }
    }

    /// Whether responses are to carry the balancer's cookie.
    pub fn sets_cookie(&self) -> bool {
        self.sticky == Sticky::Cookie
    }

    /// Whether a pod counts as up.
    pub fn is_healthy(&self, pod: u32) -> bool {
        self.healthy.get(pod as usize).copied().unwrap_or(false)
    }

    /// A health check, or a refused connection, has told.
    pub fn mark(&mut self, pod: u32, healthy: bool) {
        if let Some(known) = self.healthy.get_mut(pod as usize) {
            *known = healthy;
        }
    }

    /// After this long without a byte either way a stream is cut.
    pub fn idle_timeout(&self) -> Duration {
        self.planted_timeout.unwrap_or(self.idle_timeout)
    }

    /// Begins (or, with `None`, ends) a fault that replaces the idle timeout.
    pub fn plant_idle_timeout(&mut self, timeout: Option<Duration>) {
        self.planted_timeout = timeout;
    }

    /// A stream is cut when it is this old, busy or not; `None`: it may live for ever.
    pub fn max_age(&self) -> Option<Duration> {
        self.planted_age
    }

    /// Begins (or, with `None`, ends) a fault that cuts streams at an age.
    pub fn plant_max_age(&mut self, age: Option<Duration>) {
        self.planted_age = age;
    }

    fn in_turn(&mut self) -> Option<u32> {
        let pods = self.healthy.len();
        let next = (0..pods).map(|step| (self.turn + step) % pods).find(|&pod| self.healthy[pod])?;
        self.turn = (next + 1) % pods;
        Some(next as u32)
    }

    fn nth_healthy(&self, n: usize) -> Option<u32> {
        (0..).zip(&self.healthy).filter(|(_, healthy)| **healthy).nth(n).map(|(pod, _)| pod)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    fn balancer(sticky: Sticky) -> Balancer {
        Balancer::new(&BalancerConfig { sticky, ..Config::small().balancer }, 3)
    }

    #[test]
    fn round_robin_takes_the_healthy_pods_in_turn() {
        let mut balancer = balancer(Sticky::None);
        let four = |balancer: &mut Balancer| -> Vec<Option<u32>> {
            (0..4).map(|_| balancer.choose(Some(1), Some(1))).collect()
        };
        assert_eq!(four(&mut balancer), [Some(0), Some(1), Some(2), Some(0)]);
        balancer.mark(2, false);
        assert_eq!(four(&mut balancer), [Some(1), Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn a_cookie_leads_back_to_its_pod_unless_that_is_down() {
        let mut balancer = balancer(Sticky::Cookie);
        assert_eq!(balancer.choose(Some(2), None), Some(2));
        assert_eq!(balancer.choose(Some(7), None), Some(0), "no such pod: as if there were no cookie");
        balancer.mark(2, false);
        assert_eq!(balancer.choose(Some(2), None), Some(1));
        balancer.mark(2, true);
        assert_eq!(balancer.choose(Some(2), None), Some(2));
    }

    #[test]
    fn a_token_leads_to_the_same_pod_and_a_dead_pods_tokens_spread_over_the_others() {
        let mut balancer = balancer(Sticky::Token);
        for hash in 0..30 {
            assert_eq!(balancer.choose(None, Some(hash)), Some((hash % 3) as u32));
        }
        balancer.mark(0, false);
        let spread: Vec<u32> = (0..10).filter_map(|k| balancer.choose(None, Some(3 * k))).collect();
        assert_eq!(spread.iter().filter(|&&pod| pod == 1).count(), 5);
        assert_eq!(spread.iter().filter(|&&pod| pod == 2).count(), 5);
        assert_eq!(balancer.choose(None, Some(4)), Some(1), "the living pods keep theirs");
    }

    #[test]
    fn without_a_healthy_pod_there_is_no_choice() {
        let mut balancer = balancer(Sticky::Cookie);
        for pod in 0..3 {
            balancer.mark(pod, false);
        }
        assert_eq!(balancer.choose(Some(0), Some(0)), None);
    }

    #[test]
    fn a_planted_idle_timeout_holds_while_its_fault_lasts() {
        let mut balancer = balancer(Sticky::None);
        balancer.plant_idle_timeout(Some(Duration::from_secs(20)));
        assert_eq!(balancer.idle_timeout(), Duration::from_secs(20));
        balancer.plant_idle_timeout(None);
        assert_eq!(balancer.idle_timeout(), Duration::from_secs(90));
        balancer.plant_max_age(Some(Duration::from_secs(60)));
        assert_eq!(
            (balancer.max_age(), balancer.idle_timeout()),
            (Some(Duration::from_secs(60)), Duration::from_secs(90))
        );
    }
}
