//! Reservations: processor time that threads can be bound to.

use core::time::Duration;

use abi::process::ReservationArgs;
use abi::{Error, ObjectType};
use executor::{AdmissionError, CoreId, Reservation, Reserved};
use hal::platform::KernelPlatform;
use objects::job::Charge;
use objects::object::Header;
use objects::refs::Ref;

use super::job::JobObject;

/// How much processor time in which.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How much.
    pub budget_ns: u64,
    /// In which time.
    pub period_ns: u64,
    /// Used up, its threads go on behind others; else they wait for the next period.
    pub soft: bool,
}

/// Admitted processor time of one core.
pub struct ReservationObject {
    header: Header,
    /// Shared by the threads that are bound to it.
    pub reserved: Reserved<KernelPlatform>,
    /// What was admitted.
    pub terms: Terms,
    _charge: Charge,
}

impl ReservationObject {
    /// Admits one, or says why not and, where it does not fit, by how many parts per million.
    ///
    /// # Errors
    /// [`Error::BadArgument`], [`Error::LimitReached`], [`Error::NoMemory`], [`Error::NotAdmitted`].
    pub fn create(job: &Ref<JobObject>, args: &ReservationArgs) -> Result<Ref<Self>, (Error, u64)> {
        let plain = |error| (error, 0);
        let core = CoreId::new(args.core as usize)
            .filter(|&core| crate::exec::fleet().cores().any(|running| running == core))
            .ok_or(plain(Error::BadArgument))?;
        if args.budget_ns == 0 || args.period_ns == 0 || args.soft > 1 {
            return Err(plain(Error::BadArgument));
        }
        let ppm = u128::from(args.budget_ns) * 1_000_000 / u128::from(args.period_ns);
        let charge = job
            .job()
            .charge_reserved(u64::try_from(ppm).unwrap_or(u64::MAX))
            .map_err(plain)?;
        let mut reservation = Reservation::new(
            Duration::from_nanos(args.budget_ns),
            Duration::from_nanos(args.period_ns),
        );
        if args.deadline_ns != 0 {
            reservation = reservation.deadline(Duration::from_nanos(args.deadline_ns));
        }
        if args.soft == 1 {
            reservation = reservation.soft();
        }
        let reserved = Reserved::new(core, reservation).map_err(refused)?;
        let header =
            Header::new(ObjectType::Reservation, job.job(), Ref::<Self>::BYTES).map_err(plain)?;
        Ref::try_new(Self {
            header,
            reserved,
            terms: Terms {
                budget_ns: args.budget_ns,
                period_ns: args.period_ns,
                soft: args.soft == 1,
            },
            _charge: charge,
        })
        .map_err(|error| plain(error.into()))
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// A refusal as processes see it.
fn refused(error: AdmissionError) -> (Error, u64) {
    match error {
        AdmissionError::DoesNotFit {
            wanted_ppm,
            free_ppm,
            ..
        } => (Error::NotAdmitted, wanted_ppm.saturating_sub(free_ppm)),
        AdmissionError::TooMany { .. } => (Error::LimitReached, 0),
        _ => (Error::BadArgument, 0),
    }
}
